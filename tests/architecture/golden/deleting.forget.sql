-- takes batch bigint, first bigint, last bigint
-- gives id bigint
DELETE
FROM "goque"."deleted_batch"
WHERE "deleted_batch"."id"=%(batch)s::bigint AND (SELECT MIN("task"."id") "id"
FROM "goque"."task"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint) IS NULL
RETURNING "deleted_batch"."id"

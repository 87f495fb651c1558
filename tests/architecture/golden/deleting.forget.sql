-- takes batch bigint, first bigint, last bigint
-- gives id bigint
DELETE
FROM "goque"."deleted_batch"
WHERE "deleted_batch"."id"=%(batch)s::bigint AND NOT EXISTS (SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint
ORDER BY "task"."id"
LIMIT 1)
RETURNING "deleted_batch"."id"

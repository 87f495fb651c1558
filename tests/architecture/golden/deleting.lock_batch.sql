-- takes batch bigint
-- gives total bigint
SELECT "batch"."total"
FROM "goque"."batch"
WHERE "batch"."id"=%(batch)s::bigint
FOR UPDATE SKIP LOCKED

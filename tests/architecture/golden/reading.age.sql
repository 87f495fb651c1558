-- takes batch bigint
-- gives age double precision
SELECT DATE_PART('epoch', NOW()-"batch"."created_at") "age"
FROM "goque"."batch"
WHERE "batch"."id"=%(batch)s::bigint

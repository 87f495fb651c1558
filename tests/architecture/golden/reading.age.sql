-- takes batch bigint
-- gives age double precision
SELECT EXTRACT(EPOCH
FROM NOW()-"batch"."created_at")::double precision "age"
FROM "goque"."batch"
WHERE "batch"."id"=%(batch)s::bigint

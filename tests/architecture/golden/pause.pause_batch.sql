-- takes batch bigint, paused boolean
-- gives id bigint
WITH "lanes" AS (UPDATE "goque"."lane" SET "paused"=%(paused)s::boolean
WHERE "lane"."batch_id"=%(batch)s::bigint
RETURNING "lane"."id")
UPDATE "goque"."batch" SET "paused"=%(paused)s::boolean
WHERE "batch"."id"=%(batch)s::bigint
RETURNING "batch"."id"

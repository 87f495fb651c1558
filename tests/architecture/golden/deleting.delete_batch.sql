-- takes batch bigint
-- gives id bigint
WITH "gone" AS (DELETE
FROM "goque"."batch"
WHERE "batch"."id"=%(batch)s::bigint
RETURNING "batch"."id","batch"."total"),
"lanes" AS (DELETE
FROM "goque"."lane"
WHERE "lane"."batch_id"=%(batch)s::bigint
RETURNING "lane"."id"),
"counts" AS (DELETE
FROM "goque"."tally" USING "lanes"
WHERE "tally"."lane_id"="lanes"."id"
RETURNING "tally"."lane_id"),
"items" AS (DELETE
FROM "goque"."batch_items"
WHERE "batch_items"."batch_id"=%(batch)s::bigint
RETURNING "batch_items"."first")
INSERT INTO "goque"."deleted_batch" ("id","total") SELECT "gone"."id","gone"."total"
FROM "gone"
RETURNING "deleted_batch"."id"

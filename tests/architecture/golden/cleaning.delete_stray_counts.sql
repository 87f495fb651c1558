-- takes limit integer
-- gives lane_id bigint
WITH "stray" AS MATERIALIZED (SELECT "tally"."ctid"
FROM "goque"."tally"
WHERE NOT EXISTS (SELECT "lane"."id"
FROM "goque"."lane"
WHERE "lane"."id"="tally"."lane_id")
LIMIT %(limit)s::integer
FOR UPDATE SKIP LOCKED)
DELETE
FROM "goque"."tally" USING "stray"
WHERE "tally"."ctid"="stray"."ctid"
RETURNING "tally"."lane_id"

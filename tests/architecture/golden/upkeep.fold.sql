-- takes crowd bigint, lanes integer, limit integer
-- gives lane_id bigint
WITH "crowded" AS MATERIALIZED (SELECT "tally"."lane_id"
FROM "goque"."tally"
GROUP BY "tally"."lane_id"
HAVING COUNT(*)>%(crowd)s::bigint
LIMIT %(lanes)s::integer),
"picked" AS MATERIALIZED (SELECT "tally"."ctid"
FROM "crowded"
JOIN "goque"."tally" ON "tally"."lane_id"="crowded"."lane_id"
LIMIT %(limit)s::integer
FOR UPDATE OF "tally" SKIP LOCKED),
"gone" AS (DELETE
FROM "goque"."tally" USING "picked"
WHERE "tally"."ctid"="picked"."ctid"
RETURNING "tally"."lane_id","tally"."new","tally"."pending","tally"."processing","tally"."done","tally"."error","tally"."attempts_left","tally"."canceled","tally"."changed_at")
INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled","changed_at") SELECT "gone"."lane_id",COALESCE(SUM("gone"."new")::bigint,0) "new",COALESCE(SUM("gone"."pending")::bigint,0) "pending",COALESCE(SUM("gone"."processing")::bigint,0) "processing",COALESCE(SUM("gone"."done")::bigint,0) "done",COALESCE(SUM("gone"."error")::bigint,0) "error",COALESCE(SUM("gone"."attempts_left")::bigint,0) "attempts_left",COALESCE(SUM("gone"."canceled")::bigint,0) "canceled",COALESCE(MAX("gone"."changed_at"),NOW()) "last"
FROM "gone"
GROUP BY "gone"."lane_id"
RETURNING "tally"."lane_id"

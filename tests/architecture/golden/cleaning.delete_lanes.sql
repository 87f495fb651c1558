-- takes limit integer, unused double precision
-- gives id bigint
WITH "unused" AS MATERIALIZED (SELECT "lane"."id"
FROM "goque"."lane"
WHERE "lane"."last_used_at"<(NOW()-MAKE_INTERVAL(secs => %(unused)s::double precision)) AND NOT EXISTS (SELECT "tally"."lane_id"
FROM "goque"."tally"
WHERE "tally"."lane_id"="lane"."id"
GROUP BY "tally"."lane_id"
HAVING COALESCE(SUM(((((((0+"tally"."new")+"tally"."pending")+"tally"."processing")+"tally"."done")+"tally"."error")+"tally"."attempts_left")+"tally"."canceled")::bigint,0)<>0) AND ("lane"."batch_id" IS NULL OR NOT EXISTS (SELECT "batch"."id"
FROM "goque"."batch"
WHERE "batch"."id"="lane"."batch_id"))
LIMIT %(limit)s::integer
FOR UPDATE SKIP LOCKED),
"counts" AS (DELETE
FROM "goque"."tally" USING "unused"
WHERE "tally"."lane_id"="unused"."id"
RETURNING "tally"."lane_id")
DELETE
FROM "goque"."lane" USING "unused"
WHERE "lane"."id"="unused"."id"
RETURNING "lane"."id"

-- takes patience double precision
-- gives id bigint, batch_id bigint, total bigint, cancel_reason text, changed_by text
WITH "closed" AS (SELECT "lane"."id","lane"."batch_id"
FROM "goque"."lane"
WHERE "lane"."canceled_at"<(NOW()-MAKE_INTERVAL(secs => %(patience)s::double precision)) AND "lane"."batch_id" IS NOT NULL)
SELECT "closed"."id","batch"."id" "batch_id","batch"."total","batch"."cancel_reason","batch"."changed_by"
FROM "closed"
JOIN "goque"."batch" ON "batch"."id"="closed"."batch_id"
JOIN "goque"."tally" ON "tally"."lane_id"="closed"."id"
GROUP BY "closed"."id","batch"."id","batch"."total","batch"."cancel_reason","batch"."changed_by"
HAVING SUM((("tally"."new"+"tally"."pending")+"tally"."processing")+"tally"."error")::bigint>0
LIMIT 10

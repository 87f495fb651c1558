-- takes 
-- gives type text, batch_id bigint, paused boolean, queue text, python text, tags text[], key_ids text[], named_type text
WITH RECURSIVE "found"("lane_id") AS ((SELECT (SELECT "task"."lane_id"
FROM "goque"."task"
WHERE "task"."seq">0
ORDER BY "task"."lane_id"
LIMIT 1) "lane_id") UNION ALL (SELECT (SELECT "task"."lane_id"
FROM "goque"."task"
WHERE "task"."seq">0 AND "task"."lane_id">"found"."lane_id"
ORDER BY "task"."lane_id"
LIMIT 1) "lane_id"
FROM "found"
WHERE "found"."lane_id" IS NOT NULL))
SELECT "lane"."type","lane"."batch_id","lane"."paused","lane"."queue","lane"."python","lane"."tags","lane"."key_ids",CASE WHEN "lane"."function_id" IS NULL THEN "lane"."type" ELSE NULL::text END "named_type"
FROM "found"
JOIN "goque"."lane" ON "lane"."id"="found"."lane_id"
WHERE "lane"."canceled_at" IS NULL
LIMIT 5000

-- takes callables boolean, every text, key_ids text[], lanes bigint[], lowest bigint, mark bigint, python text, queues text[], tags text[], types text[]
-- gives id bigint, queue text, priority integer, timeout_s double precision, type text, function_id bigint
WITH RECURSIVE "found"("lane_id") AS ((SELECT COALESCE((SELECT "task"."lane_id"
FROM "goque"."task"
WHERE "task"."seq">0 AND "task"."lane_id"=%(lowest)s::bigint AND "task"."seq">=%(mark)s::bigint
ORDER BY "task"."seq"
LIMIT 1),(SELECT "task"."lane_id"
FROM "goque"."task"
WHERE "task"."seq">0 AND "task"."lane_id">%(lowest)s::bigint
ORDER BY "task"."lane_id"
LIMIT 1)) "lane_id") UNION ALL (SELECT (SELECT "task"."lane_id"
FROM "goque"."task"
WHERE "task"."seq">0 AND "task"."lane_id">"found"."lane_id"
ORDER BY "task"."lane_id"
LIMIT 1) "lane_id"
FROM "found"
WHERE "found"."lane_id" IS NOT NULL))
SELECT "lane"."id","lane"."queue","lane"."priority","lane"."timeout_s","lane"."type","lane"."function_id"
FROM "found"
CROSS JOIN LATERAL (SELECT "lane"."id","lane"."queue","lane"."priority","lane"."timeout_s",CASE WHEN "lane"."function_id" IS NULL THEN "lane"."type" ELSE NULL::text END "type","lane"."function_id"
FROM "goque"."lane"
WHERE "lane"."id"="found"."lane_id" AND NOT "lane"."paused" AND "lane"."canceled_at" IS NULL AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"="lane"."queue" AND "queue"."paused") AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"=%(every)s::text AND "queue"."paused") AND (%(queues)s::text[] IS NULL OR "lane"."queue"=ANY(%(queues)s::text[])) AND ("lane"."python" IS NULL OR "lane"."python"=%(python)s::text) AND ARRAYCONTAINED("lane"."key_ids",%(key_ids)s::text[]) AND ARRAYCONTAINED("lane"."tags",%(tags)s::text[]) AND CASE WHEN "lane"."function_id" IS NULL THEN "lane"."type"=ANY(%(types)s::text[]) ELSE %(callables)s::boolean AND (CARDINALITY("lane"."key_ids")>0 OR CARDINALITY(%(key_ids)s::text[])=0) AND (%(lanes)s::bigint[] IS NULL OR "lane"."id"=ANY(%(lanes)s::bigint[])) END
LIMIT 1) "lane"
LIMIT 5000

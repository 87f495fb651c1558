-- takes callables boolean, every text, key_ids text[], lanes bigint[], python text, queues text[], tags text[], types text[], until bigint
-- gives id bigint, queue text, priority integer, timeout_s double precision, type text, function_id bigint
SELECT "lane"."id","lane"."queue","lane"."priority","lane"."timeout_s",CASE WHEN "lane"."function_id" IS NULL THEN "lane"."type" ELSE NULL::text END "type","lane"."function_id"
FROM "goque"."lane"
CROSS JOIN LATERAL (SELECT "task"."seq"
FROM "goque"."task"
WHERE "task"."lane_id"="lane"."id" AND "task"."seq">0 AND "task"."seq"<=%(until)s::bigint
ORDER BY "task"."seq"
LIMIT 1) "first"
WHERE NOT "lane"."paused" AND "lane"."canceled_at" IS NULL AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"="lane"."queue" AND "queue"."paused") AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"=%(every)s::text AND "queue"."paused") AND (%(queues)s::text[] IS NULL OR "lane"."queue"=ANY(%(queues)s::text[])) AND ("lane"."python" IS NULL OR "lane"."python"=%(python)s::text) AND ARRAYCONTAINED("lane"."key_ids",%(key_ids)s::text[]) AND ARRAYCONTAINED("lane"."tags",%(tags)s::text[]) AND CASE WHEN "lane"."function_id" IS NULL THEN "lane"."type"=ANY(%(types)s::text[]) ELSE %(callables)s::boolean AND (CARDINALITY("lane"."key_ids")>0 OR CARDINALITY(%(key_ids)s::text[])=0) AND (%(lanes)s::bigint[] IS NULL OR "lane"."id"=ANY(%(lanes)s::bigint[])) END
ORDER BY "lane"."priority" DESC,"first"."seq"

-- takes callables boolean, every text, key_ids text[], lanes bigint[], python text, queues text[], tags text[], types text[]
-- gives lane_id bigint
WITH "live" AS (SELECT "lane"."id"
FROM "goque"."lane"
WHERE NOT "lane"."paused" AND "lane"."canceled_at" IS NULL AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"="lane"."queue" AND "queue"."paused") AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"=%(every)s::text AND "queue"."paused") AND (%(queues)s::text[] IS NULL OR "lane"."queue"=ANY(%(queues)s::text[])) AND ("lane"."python" IS NULL OR "lane"."python"=%(python)s::text) AND ARRAYCONTAINED("lane"."key_ids",%(key_ids)s::text[]) AND ARRAYCONTAINED("lane"."tags",%(tags)s::text[]) AND CASE WHEN "lane"."function_id" IS NULL THEN "lane"."type"=ANY(%(types)s::text[]) ELSE %(callables)s::boolean AND (CARDINALITY("lane"."key_ids")>0 OR CARDINALITY(%(key_ids)s::text[])=0) AND (%(lanes)s::bigint[] IS NULL OR "lane"."id"=ANY(%(lanes)s::bigint[])) END)
SELECT "tally"."lane_id"
FROM "goque"."tally"
JOIN "live" ON "live"."id"="tally"."lane_id"
GROUP BY "tally"."lane_id"
HAVING SUM(("tally"."new"+"tally"."processing")+"tally"."error")::bigint>0

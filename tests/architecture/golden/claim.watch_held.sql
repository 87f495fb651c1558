-- takes every text, ids bigint[], lanes bigint[]
-- gives id bigint, canceled boolean, paused boolean
SELECT "wanted"."id","task"."status"='canceled' "canceled",NOT (NOT "lane"."paused" AND "lane"."canceled_at" IS NULL AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"="lane"."queue" AND "queue"."paused") AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"=%(every)s::text AND "queue"."paused")) "paused"
FROM UNNEST(%(ids)s::bigint[],%(lanes)s::bigint[]) AS "wanted"("id","lane_id")
JOIN "goque"."task" ON "task"."id"="wanted"."id"
JOIN "goque"."lane" ON "lane"."id"="wanted"."lane_id"
WHERE "task"."status"='canceled' OR NOT (NOT "lane"."paused" AND "lane"."canceled_at" IS NULL AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"="lane"."queue" AND "queue"."paused") AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"=%(every)s::text AND "queue"."paused"))

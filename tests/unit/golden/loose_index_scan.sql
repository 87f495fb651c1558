-- takes queues text[]
-- gives id bigint, queue text, priority integer
WITH RECURSIVE "live"("lane_id") AS ((SELECT "task"."lane_id" FROM "goque"."task" WHERE "task"."seq">0 ORDER BY "task"."lane_id" LIMIT 1) UNION ALL (SELECT (SELECT "t"."lane_id" FROM "goque"."task" "t" WHERE "t"."seq">0 AND "t"."lane_id">"live"."lane_id" ORDER BY "t"."lane_id" LIMIT 1) "lane_id" FROM "live" WHERE "live"."lane_id" IS NOT NULL))
SELECT "lane"."id","lane"."queue","lane"."priority" FROM "live" JOIN "goque"."lane" ON "lane"."id"="live"."lane_id" WHERE "lane"."queue"=ANY(%(queues)s::text[]) AND NOT "lane"."paused" ORDER BY "lane"."priority" DESC,"lane"."id"

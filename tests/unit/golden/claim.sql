-- takes worker bigint, lanes bigint[], marks bigint[], wants integer[]
-- gives id bigint, lane_id bigint, run integer, args bytea
WITH "picked" AS MATERIALIZED (SELECT "t"."id" FROM UNNEST(%(lanes)s::bigint[],%(marks)s::bigint[],%(wants)s::integer[]) AS "v"("lane_id","mark","want") JOIN "goque"."lane" ON "lane"."id"="v"."lane_id" AND NOT "lane"."paused" CROSS JOIN LATERAL (SELECT "task"."id" FROM "goque"."task" WHERE "task"."lane_id"="v"."lane_id" AND "task"."seq">="v"."mark" AND "task"."seq">0 ORDER BY "task"."seq" LIMIT "v"."want" FOR UPDATE SKIP LOCKED) "t")
UPDATE "goque"."task" SET "run"="task"."run"+1,"seq"=-"task"."seq","worker_id"=%(worker)s::bigint,"claimed_at"=NOW() FROM "picked" WHERE "task"."id"="picked"."id" RETURNING "task"."id","task"."lane_id","task"."run","task"."args"

-- takes every text, lanes bigint[], marks bigint[], number bigint, wants bigint[], worker bigint
-- gives id bigint, lane_id bigint, run integer, attempts smallint, max_attempts smallint, losses smallint, seq bigint, metadata jsonb, checkpoint bytea, expired boolean, args bytea, slot timestamptz, traceparent text
WITH "picked" AS MATERIALIZED (SELECT "ready"."id"
FROM UNNEST(%(lanes)s::bigint[],%(marks)s::bigint[],%(wants)s::bigint[]) AS "wanted"("lane_id","mark","want")
JOIN "goque"."lane" ON "lane"."id"="wanted"."lane_id"
CROSS JOIN LATERAL (SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."lane_id"="wanted"."lane_id" AND "task"."seq">="wanted"."mark" AND "task"."seq">0
ORDER BY "task"."seq"
LIMIT "wanted"."want"
FOR UPDATE SKIP LOCKED) "ready"
WHERE NOT "lane"."paused" AND "lane"."canceled_at" IS NULL AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"="lane"."queue" AND "queue"."paused") AND NOT EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"=%(every)s::text AND "queue"."paused") AND ("wanted"."want"<=64 OR PG_TRY_ADVISORY_XACT_LOCK('"goque"."lane"'::regclass::oid::integer,MOD(("wanted"."lane_id"*2)+MOD(%(worker)s::bigint,2),2147483648)::integer))),
"taken" AS (UPDATE "goque"."task" SET "run"="task"."run"+1,"seq"=-"task"."seq","worker_id"=%(worker)s::bigint
FROM "picked"
WHERE "task"."id"="picked"."id"
RETURNING "task"."id","task"."lane_id","task"."run","task"."attempts","task"."max_attempts","task"."losses",-"task"."seq" "seq","task"."metadata","task"."checkpoint",COALESCE("task"."expires_at"<NOW(),FALSE) "expired",CASE WHEN OCTET_LENGTH(COALESCE("task"."args",CONVERT_TO(COALESCE("task"."payload"::text,'null'),'UTF8')))<=16384 AND "task"."losses"=0 THEN COALESCE("task"."args",CONVERT_TO(COALESCE("task"."payload"::text,'null'),'UTF8')) ELSE NULL::bytea END "args","task"."slot","task"."traceparent"),
"noted" AS (INSERT INTO "goque"."claim" ("worker_id","number","task_ids") SELECT %(worker)s::bigint "worker_id",%(number)s::bigint "number",ARRAY_AGG("taken"."id") "task_ids"
FROM "taken"
HAVING COUNT(*)>0
RETURNING "claim"."number")
SELECT "taken"."id","taken"."lane_id","taken"."run","taken"."attempts","taken"."max_attempts","taken"."losses","taken"."seq","taken"."metadata","taken"."checkpoint","taken"."expired","taken"."args","taken"."slot","taken"."traceparent"
FROM "taken"

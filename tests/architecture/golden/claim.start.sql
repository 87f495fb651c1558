-- takes agos double precision[], ids bigint[], runs bigint[], worker bigint
-- gives id bigint, args bytea
WITH "locked" AS MATERIALIZED (SELECT "mine"."id","mine"."lane_id","mine"."status" "before","starting"."ago"
FROM UNNEST(%(ids)s::bigint[],%(runs)s::bigint[],%(agos)s::double precision[]) AS "starting"("id","run","ago")
CROSS JOIN LATERAL (SELECT "task"."id","task"."status","task"."lane_id"
FROM "goque"."task"
WHERE "task"."id"="starting"."id" AND "task"."run"="starting"."run" AND "task"."worker_id"=%(worker)s::bigint AND "task"."status" IN ('new','error')
FOR UPDATE SKIP LOCKED) "mine"),
"started" AS (UPDATE "goque"."task" SET "status"='processing',"started_at"=NOW()-MAKE_INTERVAL(secs => "locked"."ago")
FROM "locked"
WHERE "task"."id"="locked"."id"
RETURNING "task"."id",COALESCE("task"."args",CONVERT_TO(COALESCE("task"."payload"::text,'null'),'UTF8')) "args","task"."losses","locked"."lane_id","locked"."before","task"."status"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "started"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("started"."status"='new'))-COUNT(*) FILTER (WHERE ("started"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("started"."status"='pending'))-COUNT(*) FILTER (WHERE ("started"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("started"."status"='processing'))-COUNT(*) FILTER (WHERE ("started"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("started"."status"='done'))-COUNT(*) FILTER (WHERE ("started"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("started"."status"='error'))-COUNT(*) FILTER (WHERE ("started"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("started"."status"='attempts_left'))-COUNT(*) FILTER (WHERE ("started"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("started"."status"='canceled'))-COUNT(*) FILTER (WHERE ("started"."before"='canceled')) "n_canceled"
FROM "started"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "started"."id",CASE WHEN "started"."losses">0 THEN "started"."args" ELSE NULL::bytea END "args"
FROM "started"

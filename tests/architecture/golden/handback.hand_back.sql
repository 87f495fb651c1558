-- takes ids bigint[], runs bigint[], worker bigint
-- gives id bigint
WITH "locked" AS MATERIALIZED (SELECT "row"."id","row"."lane_id","row"."before","row"."attempts","row"."max_attempts","row"."handbacks","row"."external_id","returned"."run"
FROM UNNEST(%(ids)s::bigint[],%(runs)s::bigint[]) AS "returned"("id","run")
CROSS JOIN LATERAL (SELECT "task"."id","task"."lane_id","task"."status" "before","task"."attempts","task"."max_attempts","task"."handbacks","task"."external_id"
FROM "goque"."task"
WHERE "task"."id"="returned"."id" AND "task"."run"="returned"."run" AND "task"."worker_id"=%(worker)s::bigint AND "task"."seq"<0 AND "task"."status" IN ('error','new','pending','processing')
FOR UPDATE SKIP LOCKED) "row"),
"back" AS (UPDATE "goque"."task" SET "status"=CASE WHEN "task"."status"='processing' THEN 'new' ELSE "task"."status" END,"seq"=-"task"."seq","worker_id"=NULL::bigint,"started_at"=NULL::timestamptz
FROM "locked"
WHERE "task"."id"="locked"."id"
RETURNING "task"."id","task"."lane_id","locked"."before","task"."status" "after"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "back"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("back"."after"='new'))-COUNT(*) FILTER (WHERE ("back"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("back"."after"='pending'))-COUNT(*) FILTER (WHERE ("back"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("back"."after"='processing'))-COUNT(*) FILTER (WHERE ("back"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("back"."after"='done'))-COUNT(*) FILTER (WHERE ("back"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("back"."after"='error'))-COUNT(*) FILTER (WHERE ("back"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("back"."after"='attempts_left'))-COUNT(*) FILTER (WHERE ("back"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("back"."after"='canceled'))-COUNT(*) FILTER (WHERE ("back"."before"='canceled')) "n_canceled"
FROM "back"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "back"."id"
FROM "back"

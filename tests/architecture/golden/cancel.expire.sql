-- takes limit integer, reason text
-- gives id bigint
WITH "picked" AS MATERIALIZED (SELECT "task"."id","task"."status" "before"
FROM "goque"."task"
WHERE "task"."expires_at"<NOW() AND ("task"."seq">0 OR "task"."run_at" IS NOT NULL)
ORDER BY "task"."expires_at"
LIMIT %(limit)s::integer
FOR UPDATE SKIP LOCKED),
"canceled" AS (UPDATE "goque"."task" SET "status"='canceled',"seq"=CASE WHEN "task"."seq"<0 THEN "task"."seq" ELSE NULL::bigint END,"run_at"=NULL::timestamptz,"finished_at"=NOW(),"reason"=%(reason)s::text,"changed_by"=NULL::text
FROM "picked"
WHERE "task"."id"="picked"."id"
RETURNING "task"."id","task"."lane_id","picked"."before","task"."status" "after","task"."external_id"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "canceled"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("canceled"."after"='new'))-COUNT(*) FILTER (WHERE ("canceled"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("canceled"."after"='pending'))-COUNT(*) FILTER (WHERE ("canceled"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("canceled"."after"='processing'))-COUNT(*) FILTER (WHERE ("canceled"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("canceled"."after"='done'))-COUNT(*) FILTER (WHERE ("canceled"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("canceled"."after"='error'))-COUNT(*) FILTER (WHERE ("canceled"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("canceled"."after"='attempts_left'))-COUNT(*) FILTER (WHERE ("canceled"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("canceled"."after"='canceled'))-COUNT(*) FILTER (WHERE ("canceled"."before"='canceled')) "n_canceled"
FROM "canceled"
GROUP BY 1
RETURNING "tally"."lane_id"),
"freed" AS (DELETE
FROM "goque"."external_id" USING "canceled"
WHERE "external_id"."task_id"="canceled"."id" AND "canceled"."external_id" IS NOT NULL
RETURNING "external_id"."task_id")
SELECT "canceled"."id"
FROM "canceled"

-- takes limit integer
-- gives id bigint, lane_id bigint
WITH "due" AS MATERIALIZED (SELECT "task"."id","task"."status" "before"
FROM "goque"."task"
WHERE "task"."run_at"<=NOW()
ORDER BY "task"."run_at"
LIMIT %(limit)s::integer
FOR UPDATE SKIP LOCKED),
"promoted" AS (UPDATE "goque"."task" SET "status"=CASE WHEN "task"."status"='pending' THEN 'new' ELSE "task"."status" END,"seq"=(DATE_PART('epoch', CLOCK_TIMESTAMP())*1000000)::bigint,"run_at"=NULL::timestamptz
FROM "due"
WHERE "task"."id"="due"."id"
RETURNING "task"."id","task"."lane_id","due"."before","task"."status" "after"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "promoted"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("promoted"."after"='new'))-COUNT(*) FILTER (WHERE ("promoted"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("promoted"."after"='pending'))-COUNT(*) FILTER (WHERE ("promoted"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("promoted"."after"='processing'))-COUNT(*) FILTER (WHERE ("promoted"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("promoted"."after"='done'))-COUNT(*) FILTER (WHERE ("promoted"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("promoted"."after"='error'))-COUNT(*) FILTER (WHERE ("promoted"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("promoted"."after"='attempts_left'))-COUNT(*) FILTER (WHERE ("promoted"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("promoted"."after"='canceled'))-COUNT(*) FILTER (WHERE ("promoted"."before"='canceled')) "n_canceled"
FROM "promoted"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "promoted"."id","promoted"."lane_id"
FROM "promoted"

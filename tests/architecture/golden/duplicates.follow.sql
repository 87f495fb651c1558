-- takes first bigint, last bigint, type text
-- gives id bigint, same_as bigint
WITH "duplicate" AS MATERIALIZED (SELECT "task"."id","task"."status" "before","external_id"."task_id",(SELECT "holder"."status"
FROM "goque"."task" "holder"
WHERE "holder"."id"="external_id"."task_id")='done' "there"
FROM "goque"."task"
JOIN "goque"."external_id" ON "external_id"."type"=%(type)s::text AND "external_id"."external_id"="task"."external_id"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND "external_id"."task_id"<>"task"."id" AND "task"."same_as" IS NULL AND NOT EXISTS (SELECT "deleted_batch"."id"
FROM "goque"."deleted_batch"
WHERE "deleted_batch"."id"=("external_id"."task_id"/1000000000))),
"followers" AS (UPDATE "goque"."task" SET "status"=CASE WHEN "duplicate"."there" THEN 'done' ELSE 'pending' END,"finished_at"=CASE WHEN "duplicate"."there" THEN NOW() ELSE NULL::timestamptz END,"seq"=NULL::bigint,"run_at"=NULL::timestamptz,"args"=NULL::bytea,"same_as"="duplicate"."task_id"
FROM "duplicate"
WHERE "task"."id"="duplicate"."id"
RETURNING "task"."id","task"."same_as","task"."lane_id","duplicate"."before","task"."status" "after"),
"edges" AS (INSERT INTO "goque"."dependency" ("input_id","dependant_id") SELECT "followers"."same_as" "input_id","followers"."id"
FROM "followers"
WHERE "followers"."after"='pending'
RETURNING "dependency"."input_id"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "followers"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("followers"."after"='new'))-COUNT(*) FILTER (WHERE ("followers"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("followers"."after"='pending'))-COUNT(*) FILTER (WHERE ("followers"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("followers"."after"='processing'))-COUNT(*) FILTER (WHERE ("followers"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("followers"."after"='done'))-COUNT(*) FILTER (WHERE ("followers"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("followers"."after"='error'))-COUNT(*) FILTER (WHERE ("followers"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("followers"."after"='attempts_left'))-COUNT(*) FILTER (WHERE ("followers"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("followers"."after"='canceled'))-COUNT(*) FILTER (WHERE ("followers"."before"='canceled')) "n_canceled"
FROM "followers"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "followers"."id","followers"."same_as"
FROM "followers"

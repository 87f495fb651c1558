-- takes ids bigint[]
-- gives id bigint
WITH "edge" AS (DELETE
FROM "goque"."dependency" USING UNNEST(%(ids)s::bigint[]) AS "inputs"("id"),"goque"."task"
WHERE "dependency"."input_id"="inputs"."id" AND "task"."id"="inputs"."id" AND "task"."status" IN ('attempts_left','canceled','done')
RETURNING "dependency"."dependant_id","task"."status" "after"),
"locked" AS MATERIALIZED (SELECT "waiting"."id","waiting"."lane_id","waiting"."before","edge"."after"
FROM "edge"
CROSS JOIN LATERAL (SELECT "follower"."id","follower"."lane_id","follower"."status" "before"
FROM "goque"."task" "follower"
WHERE "follower"."id"="edge"."dependant_id" AND "follower"."status"='pending'
FOR UPDATE) "waiting"),
"released" AS (UPDATE "goque"."task" SET "status"="locked"."after","finished_at"=NOW()
FROM "locked"
WHERE "task"."id"="locked"."id"
RETURNING "task"."id","task"."lane_id","locked"."before","task"."status" "after"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "released"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("released"."after"='new'))-COUNT(*) FILTER (WHERE ("released"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("released"."after"='pending'))-COUNT(*) FILTER (WHERE ("released"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("released"."after"='processing'))-COUNT(*) FILTER (WHERE ("released"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("released"."after"='done'))-COUNT(*) FILTER (WHERE ("released"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("released"."after"='error'))-COUNT(*) FILTER (WHERE ("released"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("released"."after"='attempts_left'))-COUNT(*) FILTER (WHERE ("released"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("released"."after"='canceled'))-COUNT(*) FILTER (WHERE ("released"."before"='canceled')) "n_canceled"
FROM "released"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "released"."id"
FROM "released"

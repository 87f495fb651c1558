-- takes ids bigint[]
-- gives id bigint
WITH "edge" AS MATERIALIZED (SELECT "dependency"."input_id","dependency"."dependant_id","task"."status" "after"
FROM UNNEST(%(ids)s::bigint[]) AS "inputs"("id")
JOIN "goque"."dependency" ON "dependency"."input_id"="inputs"."id"
JOIN "goque"."task" ON "task"."id"="inputs"."id"
WHERE "task"."status" IN ('attempts_left','canceled','done')),
"locked" AS MATERIALIZED (SELECT "row"."id","row"."lane_id","row"."before","edge"."input_id","edge"."after"
FROM "edge"
CROSS JOIN LATERAL (SELECT "follower"."id","follower"."lane_id","follower"."status" "before"
FROM "goque"."task" "follower"
WHERE "follower"."id"="edge"."dependant_id"
FOR UPDATE SKIP LOCKED) "row"),
"cut" AS (DELETE
FROM "goque"."dependency" USING "locked"
WHERE "dependency"."input_id"="locked"."input_id" AND "dependency"."dependant_id"="locked"."id"
RETURNING "dependency"."dependant_id"),
"released" AS (UPDATE "goque"."task" SET "status"="locked"."after","finished_at"=NOW()
FROM "locked"
WHERE "task"."id"="locked"."id" AND "locked"."before"='pending'
RETURNING "task"."id","task"."lane_id","locked"."before","task"."status" "after"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "released"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("released"."after"='new'))-COUNT(*) FILTER (WHERE ("released"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("released"."after"='pending'))-COUNT(*) FILTER (WHERE ("released"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("released"."after"='processing'))-COUNT(*) FILTER (WHERE ("released"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("released"."after"='done'))-COUNT(*) FILTER (WHERE ("released"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("released"."after"='error'))-COUNT(*) FILTER (WHERE ("released"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("released"."after"='attempts_left'))-COUNT(*) FILTER (WHERE ("released"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("released"."after"='canceled'))-COUNT(*) FILTER (WHERE ("released"."before"='canceled')) "n_canceled"
FROM "released"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "released"."id"
FROM "released"

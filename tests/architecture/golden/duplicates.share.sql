-- takes first bigint, ids bigint[], last bigint, limit integer
-- gives id bigint
WITH "edge" AS MATERIALIZED (SELECT "own"."place","own"."dependant_id","task"."status" "after"
FROM UNNEST(%(ids)s::bigint[]) AS "inputs"("id")
JOIN "goque"."task" ON "task"."id"="inputs"."id"
CROSS JOIN LATERAL (SELECT "dependency"."ctid" "place","dependency"."dependant_id"
FROM "goque"."dependency"
WHERE "dependency"."input_id"="inputs"."id"
LIMIT %(limit)s::integer) "own"
WHERE EXISTS (SELECT "dependency"."input_id"
FROM "goque"."dependency"
WHERE "dependency"."input_id">=%(first)s::bigint AND "dependency"."input_id"<=%(last)s::bigint) AND "task"."status" IN ('attempts_left','canceled','done')
LIMIT %(limit)s::integer),
"locked" AS MATERIALIZED (SELECT "row"."id","row"."lane_id","row"."before","edge"."place","edge"."after"
FROM "edge"
CROSS JOIN LATERAL (SELECT "follower"."id","follower"."lane_id","follower"."status" "before"
FROM "goque"."task" "follower"
WHERE "follower"."id"="edge"."dependant_id"
FOR UPDATE SKIP LOCKED) "row"),
"cut" AS (DELETE
FROM "goque"."dependency"
WHERE "dependency"."ctid"=ANY((SELECT ARRAY_AGG("locked"."place") "places"
FROM "locked")::tid[])
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

-- takes ids bigint[]
-- gives n bigint
WITH "gone" AS (DELETE
FROM "goque"."task" USING UNNEST(%(ids)s::bigint[]) AS "wanted"("id")
WHERE "task"."id"="wanted"."id" AND NOT EXISTS (SELECT "follower"."id"
FROM "goque"."task" "follower"
WHERE "follower"."same_as"="task"."id") AND NOT EXISTS (SELECT "dependency"."input_id"
FROM "goque"."dependency"
WHERE "dependency"."input_id"="task"."id") AND ("task"."slot" IS NULL OR NOT EXISTS (SELECT "schedule"."name"
FROM "goque"."schedule"
JOIN "goque"."lane" ON "lane"."type"="schedule"."type"
WHERE "lane"."id"="task"."lane_id" AND "schedule"."last_at"="task"."slot"))
RETURNING "task"."id","task"."lane_id","task"."status","task"."external_id"),
"runs" AS (DELETE
FROM "goque"."run" USING "gone"
WHERE "run"."task_id"="gone"."id"
RETURNING "run"."task_id"),
"freed" AS (DELETE
FROM "goque"."external_id" USING "gone"
WHERE "external_id"."task_id"="gone"."id" AND "gone"."external_id" IS NOT NULL
RETURNING "external_id"."task_id"),
"edges" AS (DELETE
FROM "goque"."dependency" USING "gone"
WHERE "dependency"."dependant_id"="gone"."id"
RETURNING "dependency"."dependant_id"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "gone"."lane_id" "lane_id",-COUNT(*) FILTER (WHERE ("gone"."status"='new')) "n_new",-COUNT(*) FILTER (WHERE ("gone"."status"='pending')) "n_pending",-COUNT(*) FILTER (WHERE ("gone"."status"='processing')) "n_processing",-COUNT(*) FILTER (WHERE ("gone"."status"='done')) "n_done",-COUNT(*) FILTER (WHERE ("gone"."status"='error')) "n_error",-COUNT(*) FILTER (WHERE ("gone"."status"='attempts_left')) "n_attempts_left",-COUNT(*) FILTER (WHERE ("gone"."status"='canceled')) "n_canceled"
FROM "gone"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT COUNT(*) "n"
FROM "gone"

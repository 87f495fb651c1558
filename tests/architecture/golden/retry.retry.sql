-- takes duplicate text, follower text, force boolean, gone text, ids bigint[], lane bigint, max_attempts smallint, owner text, reset boolean, stopping text
-- gives id bigint, before text, skipped text
WITH "found" AS MATERIALIZED (SELECT "row"."id","row"."lane_id","row"."before","row"."seq","row"."same_as","row"."external_id","row"."run","row"."worker_id","row"."attempts","row"."started_at","row"."finished_at","row"."result","row"."cpu_s","row"."max_rss_mb","row"."log"
FROM UNNEST(%(ids)s::bigint[]) AS "wanted"("id")
CROSS JOIN LATERAL (SELECT "task"."id","task"."lane_id","task"."status" "before","task"."seq","task"."same_as","task"."external_id","task"."run","task"."worker_id","task"."attempts","task"."started_at","task"."finished_at","task"."result","task"."cpu_s","task"."max_rss_mb","task"."log"
FROM "goque"."task"
WHERE "task"."id"="wanted"."id" AND ("task"."status" IN ('attempts_left','canceled','error') OR ("task"."status"='done' AND %(force)s::boolean))
FOR UPDATE) "row"),
"home" AS MATERIALIZED (SELECT "lane"."id"
FROM "goque"."lane"
WHERE "lane"."id" IN (SELECT "found"."lane_id"
FROM "found") FOR KEY SHARE),
"forgotten" AS (DELETE
FROM "goque"."external_id" USING "found"
WHERE "external_id"."task_id"="found"."id" AND NOT ("found"."before"='canceled' AND COALESCE("found"."seq"<0,FALSE)) AND NOT ("found"."before"='error' AND COALESCE("found"."seq"<0,FALSE)) AND "found"."same_as" IS NULL AND EXISTS (SELECT "home"."id"
FROM "home"
WHERE "home"."id"="found"."lane_id") AND COALESCE(STARTS_WITH("found"."external_id",%(p1)s::text),FALSE)
RETURNING "external_id"."task_id"),
"regained" AS (INSERT INTO "goque"."external_id" ("type","external_id","task_id") SELECT "lane"."type","found"."external_id" "external_id","found"."id"
FROM "found"
JOIN "goque"."lane" ON "lane"."id"="found"."lane_id"
WHERE NOT ("found"."before"='canceled' AND COALESCE("found"."seq"<0,FALSE)) AND NOT ("found"."before"='error' AND COALESCE("found"."seq"<0,FALSE)) AND "found"."same_as" IS NULL AND EXISTS (SELECT "home"."id"
FROM "home"
WHERE "home"."id"="found"."lane_id") AND NOT ("found"."external_id" IS NULL OR COALESCE(STARTS_WITH("found"."external_id",%(p1)s::text),FALSE)) AND "found"."before" IN ('attempts_left','canceled')
ORDER BY "found"."external_id","lane"."type"
ON CONFLICT ("type", "external_id") DO NOTHING
RETURNING "external_id"."task_id"),
"kept" AS (INSERT INTO "goque"."run" ("task_id","run","lane_id","worker_id","attempt","status","outcome","started_at","finished_at","result","cpu_s","max_rss_mb","log") SELECT "found"."id","found"."run","found"."lane_id","found"."worker_id","found"."attempts",'done' "status",'done' "outcome","found"."started_at",COALESCE("found"."finished_at",NOW()) "finished_at","found"."result","found"."cpu_s","found"."max_rss_mb","found"."log"
FROM "found"
WHERE "found"."before"='done' AND NOT ("found"."before"='canceled' AND COALESCE("found"."seq"<0,FALSE)) AND NOT ("found"."before"='error' AND COALESCE("found"."seq"<0,FALSE)) AND "found"."same_as" IS NULL AND EXISTS (SELECT "home"."id"
FROM "home"
WHERE "home"."id"="found"."lane_id")
ON CONFLICT ("task_id", "run") DO NOTHING
RETURNING "run"."task_id"),
"again" AS (UPDATE "goque"."task" SET "status"=CASE WHEN "found"."before"='error' THEN 'error' ELSE 'new' END,"seq"=(DATE_PART('epoch', CLOCK_TIMESTAMP())*1000000)::bigint,"run_at"=NULL::timestamptz,"attempts"=CASE WHEN %(reset)s::boolean THEN 0 ELSE "task"."attempts"+0 END::smallint,"max_attempts"=GREATEST(COALESCE(%(max_attempts)s::smallint,"task"."max_attempts"),CASE WHEN %(reset)s::boolean THEN 0 ELSE "task"."attempts"+0 END+1)::smallint,"losses"=0,"handbacks"=0,"lane_id"=COALESCE(%(lane)s::bigint,"task"."lane_id"),"worker_id"=NULL::bigint,"started_at"=NULL::timestamptz,"finished_at"=NULL::timestamptz,"result"=NULL::bytea,"reason"=NULL::text,"changed_by"=SESSION_USER::text || %(p2)s::text || %(owner)s::text,"progress"=NULL::jsonb,"cpu_s"=NULL::double precision,"max_rss_mb"=NULL::double precision,"log"=NULL::text,"expires_at"=NULL::timestamptz,"checkpoint"=CASE WHEN %(reset)s::boolean THEN NULL::bytea ELSE "task"."checkpoint" END
FROM "found"
WHERE "task"."id"="found"."id" AND NOT ("found"."before"='canceled' AND COALESCE("found"."seq"<0,FALSE)) AND NOT ("found"."before"='error' AND COALESCE("found"."seq"<0,FALSE)) AND "found"."same_as" IS NULL AND EXISTS (SELECT "home"."id"
FROM "home"
WHERE "home"."id"="found"."lane_id") AND (NOT (NOT ("found"."external_id" IS NULL OR COALESCE(STARTS_WITH("found"."external_id",%(p1)s::text),FALSE)) AND "found"."before" IN ('attempts_left','canceled')) OR EXISTS (SELECT "regained"."task_id"
FROM "regained"
WHERE "regained"."task_id"="found"."id"))
RETURNING "task"."id","found"."lane_id" "old_lane","task"."lane_id","found"."before","task"."status" "after"),
"gone" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "again"."old_lane" "lane_id",-COUNT(*) FILTER (WHERE ("again"."before"='new')) "n_new",-COUNT(*) FILTER (WHERE ("again"."before"='pending')) "n_pending",-COUNT(*) FILTER (WHERE ("again"."before"='processing')) "n_processing",-COUNT(*) FILTER (WHERE ("again"."before"='done')) "n_done",-COUNT(*) FILTER (WHERE ("again"."before"='error')) "n_error",-COUNT(*) FILTER (WHERE ("again"."before"='attempts_left')) "n_attempts_left",-COUNT(*) FILTER (WHERE ("again"."before"='canceled')) "n_canceled"
FROM "again"
GROUP BY 1
RETURNING "tally"."lane_id"),
"come" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "again"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("again"."after"='new')) "n_new",COUNT(*) FILTER (WHERE ("again"."after"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("again"."after"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("again"."after"='done')) "n_done",COUNT(*) FILTER (WHERE ("again"."after"='error')) "n_error",COUNT(*) FILTER (WHERE ("again"."after"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("again"."after"='canceled')) "n_canceled"
FROM "again"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "found"."id","found"."before",CASE WHEN "found"."before"='canceled' AND COALESCE("found"."seq"<0,FALSE) THEN %(stopping)s::text WHEN "found"."same_as" IS NOT NULL THEN %(follower)s::text WHEN "found"."before"='error' AND COALESCE("found"."seq"<0,FALSE) THEN %(stopping)s::text WHEN NOT EXISTS (SELECT "home"."id"
FROM "home"
WHERE "home"."id"="found"."lane_id") THEN %(gone)s::text WHEN NOT (NOT (NOT ("found"."external_id" IS NULL OR COALESCE(STARTS_WITH("found"."external_id",%(p1)s::text),FALSE)) AND "found"."before" IN ('attempts_left','canceled')) OR EXISTS (SELECT "regained"."task_id"
FROM "regained"
WHERE "regained"."task_id"="found"."id")) THEN %(duplicate)s::text ELSE NULL::text END "skipped"
FROM "found"

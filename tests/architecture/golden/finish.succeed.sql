-- takes agos double precision[], cpu_s double precision[], ids bigint[], logs text[], max_rss_mb double precision[], results bytea[], run_s double precision[], runs bigint[], worker bigint
-- gives id bigint
WITH "locked" AS MATERIALIZED (SELECT "row"."id","row"."lane_id","row"."before","row"."attempts","row"."max_attempts","row"."handbacks","row"."external_id","ended"."ago","ended"."cpu_s","ended"."log","ended"."max_rss_mb","ended"."result","ended"."run","ended"."run_s"
FROM UNNEST(%(ids)s::bigint[],%(runs)s::bigint[],%(results)s::bytea[],%(agos)s::double precision[],%(run_s)s::double precision[],%(cpu_s)s::double precision[],%(max_rss_mb)s::double precision[],%(logs)s::text[]) AS "ended"("id","run","result","ago","run_s","cpu_s","max_rss_mb","log")
CROSS JOIN LATERAL (SELECT "task"."id","task"."lane_id","task"."status" "before","task"."attempts","task"."max_attempts","task"."handbacks","task"."external_id"
FROM "goque"."task"
WHERE "task"."id"="ended"."id" AND "task"."run"="ended"."run" AND "task"."worker_id"=%(worker)s::bigint AND "task"."seq"<0 AND "task"."status" IN ('error','new','pending','processing')
FOR UPDATE SKIP LOCKED) "row"),
"done" AS (UPDATE "goque"."task" SET "status"='done',"attempts"="task"."attempts"+1,"losses"=0,"result"="locked"."result","started_at"=NOW()-MAKE_INTERVAL(secs => "locked"."ago"+"locked"."run_s"),"finished_at"=NOW()-MAKE_INTERVAL(secs => "locked"."ago"),"cpu_s"="locked"."cpu_s","max_rss_mb"="locked"."max_rss_mb","log"="locked"."log","progress"=NULL::jsonb,"checkpoint"=NULL::bytea
FROM "locked"
WHERE "task"."id"="locked"."id"
RETURNING "task"."id","task"."lane_id","locked"."before","task"."status" "after"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "done"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("done"."after"='new'))-COUNT(*) FILTER (WHERE ("done"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("done"."after"='pending'))-COUNT(*) FILTER (WHERE ("done"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("done"."after"='processing'))-COUNT(*) FILTER (WHERE ("done"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("done"."after"='done'))-COUNT(*) FILTER (WHERE ("done"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("done"."after"='error'))-COUNT(*) FILTER (WHERE ("done"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("done"."after"='attempts_left'))-COUNT(*) FILTER (WHERE ("done"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("done"."after"='canceled'))-COUNT(*) FILTER (WHERE ("done"."before"='canceled')) "n_canceled"
FROM "done"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "done"."id"
FROM "done"

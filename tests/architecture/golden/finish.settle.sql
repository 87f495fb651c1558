-- takes agos double precision[], args_reprs text[], charges smallint[], cpu_s double precision[], delays double precision[], error_types text[], errors text[], exceptions bytea[], exit_codes integer[], exit_signals smallint[], ids bigint[], logs text[], max_rss_mb double precision[], outcomes text[], reasons text[], run_s double precision[], runs bigint[], statuses text[], tracebacks text[], user_frames text[], worker bigint
-- gives id bigint
WITH "locked" AS MATERIALIZED (SELECT "row"."id","row"."lane_id","row"."before","row"."attempts","row"."max_attempts","row"."handbacks","row"."external_id","ended"."ago","ended"."args_repr","ended"."charge","ended"."cpu_s","ended"."delay","ended"."error","ended"."error_type","ended"."exception","ended"."exit_code","ended"."exit_signal","ended"."log","ended"."max_rss_mb","ended"."outcome","ended"."reason","ended"."run","ended"."run_s","ended"."status","ended"."traceback","ended"."user_frame"
FROM UNNEST(%(ids)s::bigint[],%(runs)s::bigint[],%(statuses)s::text[],%(outcomes)s::text[],%(charges)s::smallint[],%(delays)s::double precision[],%(reasons)s::text[],%(error_types)s::text[],%(errors)s::text[],%(user_frames)s::text[],%(tracebacks)s::text[],%(exceptions)s::bytea[],%(args_reprs)s::text[],%(exit_signals)s::smallint[],%(exit_codes)s::integer[],%(agos)s::double precision[],%(run_s)s::double precision[],%(cpu_s)s::double precision[],%(max_rss_mb)s::double precision[],%(logs)s::text[]) AS "ended"("id","run","status","outcome","charge","delay","reason","error_type","error","user_frame","traceback","exception","args_repr","exit_signal","exit_code","ago","run_s","cpu_s","max_rss_mb","log")
CROSS JOIN LATERAL (SELECT "task"."id","task"."lane_id","task"."status" "before","task"."attempts","task"."max_attempts","task"."handbacks","task"."external_id"
FROM "goque"."task"
WHERE "task"."id"="ended"."id" AND "task"."run"="ended"."run" AND "task"."worker_id"=%(worker)s::bigint AND "task"."seq"<0 AND "task"."status"='canceled'
FOR UPDATE SKIP LOCKED) "row"),
"settled" AS (UPDATE "goque"."task" SET "seq"=NULL::bigint,"worker_id"=NULL::bigint,"log"=NULL::text
FROM "locked"
WHERE "task"."id"="locked"."id"
RETURNING "task"."id"),
"recorded" AS (INSERT INTO "goque"."run" ("task_id","run","worker_id","attempt","status","outcome","started_at","finished_at","error_type","error","user_frame","traceback","exception","args_repr","exit_signal","exit_code","cpu_s","max_rss_mb","log") SELECT "locked"."id","locked"."run",%(worker)s::bigint "worker_id",("locked"."attempts"+1)::smallint "attempt",'canceled' "status","locked"."outcome",NOW()-MAKE_INTERVAL(secs => "locked"."ago"+"locked"."run_s") "started_at",NOW()-MAKE_INTERVAL(secs => "locked"."ago") "finished_at","locked"."error_type","locked"."error","locked"."user_frame","locked"."traceback","locked"."exception","locked"."args_repr","locked"."exit_signal","locked"."exit_code","locked"."cpu_s","locked"."max_rss_mb","locked"."log"
FROM "locked"
WHERE "locked"."run_s" IS NOT NULL
ON CONFLICT ("task_id", "run") DO NOTHING
RETURNING "run"."task_id")
SELECT "settled"."id"
FROM "settled"

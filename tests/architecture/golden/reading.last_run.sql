-- takes id bigint
-- gives run integer, attempt smallint, outcome text, error_type text, error text, traceback text, log text, worker_id bigint, started_at timestamptz, finished_at timestamptz
SELECT "run"."run","run"."attempt","run"."outcome"::text "outcome","run"."error_type","run"."error","run"."traceback","run"."log","run"."worker_id","run"."started_at","run"."finished_at"
FROM "goque"."run"
WHERE "run"."task_id"=%(id)s::bigint
ORDER BY "run"."run" DESC
LIMIT 1

-- takes ids bigint[]
-- gives id bigint, status text, source bigint, source_run integer, size integer, result bytea, reason text, error_type text, error text, traceback text, exception bytea, outcome text, attempt smallint, host text, worker bigint
SELECT "task"."id","task"."status",COALESCE("task"."same_as","task"."id") "source",CASE WHEN "task"."same_as" IS NULL THEN "task"."run" ELSE "source"."run" END "source_run",OCTET_LENGTH(CASE WHEN "task"."same_as" IS NULL THEN "task"."result" ELSE "source"."result" END) "size",CASE WHEN OCTET_LENGTH(CASE WHEN "task"."same_as" IS NULL THEN "task"."result" ELSE "source"."result" END)<=8192 THEN CASE WHEN "task"."same_as" IS NULL THEN "task"."result" ELSE "source"."result" END ELSE NULL::bytea END "result",COALESCE("task"."reason","source"."reason") "reason","run"."error_type" "error_type","run"."error" "error","run"."traceback" "traceback","run"."exception" "exception","run"."outcome"::text "outcome","run"."attempt" "attempt","worker"."host" "host","worker"."id" "worker"
FROM UNNEST(%(ids)s::bigint[]) AS "wanted"("id")
JOIN "goque"."task" ON "task"."id"="wanted"."id"
LEFT JOIN "goque"."task" "source" ON "source"."id"="task"."same_as"
LEFT JOIN "goque"."run" ON "run"."task_id"=CASE WHEN "task"."status"<>'done' THEN COALESCE("task"."same_as","task"."id") ELSE NULL::bigint END AND "run"."run"=COALESCE("source"."run","task"."run")
LEFT JOIN "goque"."worker" ON "worker"."id"=CASE WHEN "task"."status"<>'done' THEN COALESCE("run"."worker_id","source"."worker_id","task"."worker_id") ELSE NULL::bigint END
WHERE "task"."same_as" IS NULL OR "source"."id" IS NOT NULL

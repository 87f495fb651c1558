-- takes ids bigint[]
-- gives id bigint, status text, source bigint, source_run integer, size integer, result bytea, reason text, error_type text, error text, traceback text, exception bytea, outcome text, attempt smallint, host text, worker bigint
SELECT "one"."id","one"."status",COALESCE("one"."same_as","one"."id") "source",CASE WHEN "one"."same_as" IS NULL THEN "one"."run" ELSE "shared"."run" END "source_run",OCTET_LENGTH(CASE WHEN "one"."same_as" IS NULL THEN "one"."result" ELSE "shared"."result" END) "size",CASE WHEN OCTET_LENGTH(CASE WHEN "one"."same_as" IS NULL THEN "one"."result" ELSE "shared"."result" END)<=8192 THEN CASE WHEN "one"."same_as" IS NULL THEN "one"."result" ELSE "shared"."result" END ELSE NULL::bytea END "result",COALESCE("one"."reason","shared"."reason") "reason","record"."error_type" "error_type","record"."error" "error","record"."traceback" "traceback","record"."exception" "exception","record"."outcome"::text "outcome","record"."attempt" "attempt","worker"."host" "host","worker"."id" "worker"
FROM UNNEST(%(ids)s::bigint[]) AS "wanted"("id")
CROSS JOIN LATERAL (SELECT "task"."id","task"."status","task"."same_as","task"."reason","task"."run","task"."worker_id","task"."result"
FROM "goque"."task"
WHERE "task"."id"="wanted"."id"
LIMIT 1) "one"
LEFT JOIN LATERAL (SELECT "source"."id","source"."run","source"."result","source"."reason","source"."worker_id"
FROM "goque"."task" "source"
WHERE "source"."id"="one"."same_as"
LIMIT 1) "shared" ON TRUE
LEFT JOIN LATERAL (SELECT "run"."error_type","run"."error","run"."traceback","run"."exception","run"."outcome","run"."attempt","run"."worker_id"
FROM "goque"."run"
WHERE "run"."task_id"=CASE WHEN "one"."status"<>'done' THEN COALESCE("one"."same_as","one"."id") ELSE NULL::bigint END AND "run"."run"=COALESCE("shared"."run","one"."run")
LIMIT 1) "record" ON TRUE
LEFT JOIN "goque"."worker" ON "worker"."id"=CASE WHEN "one"."status"<>'done' THEN COALESCE("record"."worker_id","shared"."worker_id","one"."worker_id") ELSE NULL::bigint END
WHERE "one"."same_as" IS NULL OR "shared"."id" IS NOT NULL

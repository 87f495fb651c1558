-- takes firsts bigint[], lasts bigint[], limit integer
-- gives id bigint, status text, source bigint, source_run integer, size integer, result bytea, reason text, error_type text, error text, traceback text, exception bytea, outcome text, attempt smallint, host text, worker bigint
SELECT "ended"."id","ended"."status",COALESCE("ended"."same_as","ended"."id") "source",CASE WHEN "ended"."same_as" IS NULL THEN "ended"."run" ELSE "shared"."run" END "source_run",OCTET_LENGTH(CASE WHEN "ended"."same_as" IS NULL THEN "ended"."result" ELSE "shared"."result" END) "size",CASE WHEN OCTET_LENGTH(CASE WHEN "ended"."same_as" IS NULL THEN "ended"."result" ELSE "shared"."result" END)<=8192 THEN CASE WHEN "ended"."same_as" IS NULL THEN "ended"."result" ELSE "shared"."result" END ELSE NULL::bytea END "result",COALESCE("ended"."reason","shared"."reason") "reason","record"."error_type" "error_type","record"."error" "error","record"."traceback" "traceback","record"."exception" "exception","record"."outcome"::text "outcome","record"."attempt" "attempt","worker"."host" "host","worker"."id" "worker"
FROM UNNEST(%(firsts)s::bigint[],%(lasts)s::bigint[]) AS "span"("first","last")
CROSS JOIN LATERAL (SELECT "task"."id","task"."status","task"."same_as","task"."reason","task"."run","task"."worker_id","task"."result"
FROM "goque"."task"
WHERE "task"."id">="span"."first" AND "task"."id"<="span"."last" AND "task"."status" IN ('attempts_left','canceled','done')
ORDER BY "task"."id"
LIMIT %(limit)s::integer) "ended"
LEFT JOIN LATERAL (SELECT "source"."id","source"."run","source"."result","source"."reason","source"."worker_id"
FROM "goque"."task" "source"
WHERE "source"."id"="ended"."same_as"
LIMIT 1) "shared" ON TRUE
LEFT JOIN LATERAL (SELECT "run"."error_type","run"."error","run"."traceback","run"."exception","run"."outcome","run"."attempt","run"."worker_id"
FROM "goque"."run"
WHERE "run"."task_id"=CASE WHEN "ended"."status"<>'done' THEN COALESCE("ended"."same_as","ended"."id") ELSE NULL::bigint END AND "run"."run"=COALESCE("shared"."run","ended"."run")
LIMIT 1) "record" ON TRUE
LEFT JOIN "goque"."worker" ON "worker"."id"=CASE WHEN "ended"."status"<>'done' THEN COALESCE("record"."worker_id","shared"."worker_id","ended"."worker_id") ELSE NULL::bigint END
WHERE "ended"."same_as" IS NULL OR "shared"."id" IS NOT NULL
LIMIT %(limit)s::integer

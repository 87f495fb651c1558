-- takes firsts bigint[], lasts bigint[], limit integer
-- gives id bigint, status text, source bigint, source_run integer, size integer, result bytea, reason text, error_type text, error text, traceback text, exception bytea, outcome text, attempt smallint, host text, worker bigint
SELECT "ended"."id","ended"."status",COALESCE("ended"."same_as","ended"."id") "source",CASE WHEN "ended"."same_as" IS NULL THEN "ended"."run" ELSE "source"."run" END "source_run",OCTET_LENGTH(CASE WHEN "ended"."same_as" IS NULL THEN "ended"."result" ELSE "source"."result" END) "size",CASE WHEN OCTET_LENGTH(CASE WHEN "ended"."same_as" IS NULL THEN "ended"."result" ELSE "source"."result" END)<=8192 THEN CASE WHEN "ended"."same_as" IS NULL THEN "ended"."result" ELSE "source"."result" END ELSE NULL::bytea END "result",COALESCE("ended"."reason","source"."reason") "reason","run"."error_type" "error_type","run"."error" "error","run"."traceback" "traceback","run"."exception" "exception","run"."outcome"::text "outcome","run"."attempt" "attempt","worker"."host" "host","worker"."id" "worker"
FROM UNNEST(%(firsts)s::bigint[],%(lasts)s::bigint[]) AS "span"("first","last")
CROSS JOIN LATERAL (SELECT "task"."id","task"."status","task"."same_as","task"."reason","task"."run","task"."worker_id","task"."result"
FROM "goque"."task"
WHERE "task"."id">="span"."first" AND "task"."id"<="span"."last" AND "task"."status" IN ('attempts_left','canceled','done')
ORDER BY "task"."id"
LIMIT %(limit)s::integer) "ended"
LEFT JOIN "goque"."task" "source" ON "source"."id"="ended"."same_as"
LEFT JOIN "goque"."run" ON "run"."task_id"=CASE WHEN "ended"."status"<>'done' THEN COALESCE("ended"."same_as","ended"."id") ELSE NULL::bigint END AND "run"."run"=COALESCE("source"."run","ended"."run")
LEFT JOIN "goque"."worker" ON "worker"."id"=CASE WHEN "ended"."status"<>'done' THEN COALESCE("run"."worker_id","source"."worker_id","ended"."worker_id") ELSE NULL::bigint END
WHERE "ended"."same_as" IS NULL OR "source"."id" IS NOT NULL
LIMIT %(limit)s::integer

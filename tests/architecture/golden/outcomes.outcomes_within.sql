-- takes firsts bigint[], lasts bigint[], limit integer
-- gives id bigint, status text, source bigint, source_run integer, size integer, result bytea, reason text, error_type text, error text, traceback text, exception bytea, outcome text, attempt smallint, host text, worker bigint
SELECT "ended"."id","ended"."status","source"."id" "source","source"."run" "source_run",OCTET_LENGTH("source"."result") "size",CASE WHEN OCTET_LENGTH("source"."result")<=8192 THEN "source"."result" ELSE NULL::bytea END "result",COALESCE("ended"."reason","source"."reason") "reason","run"."error_type" "error_type","run"."error" "error","run"."traceback" "traceback","run"."exception" "exception","run"."outcome"::text "outcome","run"."attempt" "attempt","worker"."host" "host","worker"."id" "worker"
FROM UNNEST(%(firsts)s::bigint[],%(lasts)s::bigint[]) AS "span"("first","last")
CROSS JOIN LATERAL (SELECT "task"."id","task"."status","task"."same_as","task"."reason"
FROM "goque"."task"
WHERE "task"."id">="span"."first" AND "task"."id"<="span"."last" AND "task"."status" IN ('attempts_left','canceled','done')
ORDER BY "task"."id"
LIMIT %(limit)s::integer) "ended"
JOIN "goque"."task" "source" ON "source"."id"=COALESCE("ended"."same_as","ended"."id")
LEFT JOIN "goque"."run" ON "run"."task_id"="source"."id" AND "run"."run"="source"."run" AND "source"."status"<>'done'
LEFT JOIN "goque"."worker" ON "worker"."id"=COALESCE("run"."worker_id","source"."worker_id")
LIMIT %(limit)s::integer

-- takes error_type text, first bigint, last bigint, module text, nothing text, statuses text[]
-- gives id bigint
SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND (%(statuses)s::text[] IS NULL OR "task"."status"::text=ANY(%(statuses)s::text[])) AND (%(error_type)s::text IS NULL OR COALESCE((SELECT "run"."error_type"
FROM "goque"."run"
WHERE "run"."task_id"="task"."id"
ORDER BY "run"."run" DESC
LIMIT 1),''::text)=%(error_type)s::text OR REGEXP_REPLACE(COALESCE((SELECT "run"."error_type"
FROM "goque"."run"
WHERE "run"."task_id"="task"."id"
ORDER BY "run"."run" DESC
LIMIT 1),''::text),%(module)s::text,%(nothing)s::text)=%(error_type)s::text)
ORDER BY "task"."id"

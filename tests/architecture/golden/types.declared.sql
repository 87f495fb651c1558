-- takes name text
-- gives name text, queue text, priority integer, max_attempts smallint, timeout_s double precision, keep_s double precision, tags text[]
SELECT "task_type"."name","task_type"."queue","task_type"."priority","task_type"."max_attempts","task_type"."timeout_s","task_type"."keep_s","task_type"."tags"
FROM "goque"."task_type"
WHERE "task_type"."name"=%(name)s::text

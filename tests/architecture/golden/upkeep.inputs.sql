-- takes after bigint, limit integer
-- gives id bigint, final boolean
SELECT "task"."id","task"."status" IN ('attempts_left','canceled','done') "final"
FROM (SELECT "dependency"."input_id"
FROM "goque"."dependency"
WHERE "dependency"."input_id">%(after)s::bigint
ORDER BY "dependency"."input_id"
LIMIT %(limit)s::integer) "page"
JOIN "goque"."task" ON "task"."id"="page"."input_id"

-- takes first bigint, force boolean, last bigint, limit integer
-- gives id bigint
SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND ("task"."status" IN ('attempts_left','canceled','error') OR ("task"."status"='done' AND %(force)s::boolean))
ORDER BY "task"."id"
LIMIT %(limit)s::integer

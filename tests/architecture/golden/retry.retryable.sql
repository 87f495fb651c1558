-- takes firsts bigint[], force boolean, lasts bigint[], limit integer
-- gives id bigint
SELECT "row"."id"
FROM UNNEST(%(firsts)s::bigint[],%(lasts)s::bigint[]) AS "span"("first","last")
CROSS JOIN LATERAL (SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."id">="span"."first" AND "task"."id"<="span"."last" AND ("task"."status" IN ('attempts_left','canceled','error') OR ("task"."status"='done' AND %(force)s::boolean))
ORDER BY "task"."id"
LIMIT %(limit)s::integer) "row"

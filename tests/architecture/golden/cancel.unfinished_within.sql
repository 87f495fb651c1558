-- takes firsts bigint[], lasts bigint[]
-- gives id bigint
SELECT "row"."id"
FROM UNNEST(%(firsts)s::bigint[],%(lasts)s::bigint[]) AS "span"("first","last")
CROSS JOIN LATERAL (SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."id">="span"."first" AND "task"."id"<="span"."last" AND "task"."status" IN ('error','new','pending','processing')
ORDER BY "task"."id"
LIMIT 1) "row"
LIMIT 1

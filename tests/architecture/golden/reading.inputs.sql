-- takes firsts bigint[], lasts bigint[]
-- gives id bigint, source bigint, args bytea
SELECT "task"."id","source"."id" "source","source"."args"
FROM UNNEST(%(firsts)s::bigint[],%(lasts)s::bigint[]) AS "span"("first","last")
JOIN "goque"."task" ON "task"."id">="span"."first" AND "task"."id"<="span"."last"
JOIN "goque"."task" "source" ON "source"."id"=COALESCE("task"."same_as","task"."id")
ORDER BY "task"."id"

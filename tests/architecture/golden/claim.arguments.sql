-- takes ids bigint[]
-- gives id bigint, args bytea
SELECT "task"."id","task"."args"
FROM UNNEST(%(ids)s::bigint[]) AS "wanted"("id")
JOIN "goque"."task" ON "task"."id"="wanted"."id"

-- takes ids bigint[]
-- gives status text, n bigint
SELECT "task"."status",COUNT(*) "n"
FROM UNNEST(%(ids)s::bigint[]) AS "wanted"("id")
JOIN "goque"."task" ON "task"."id"="wanted"."id"
GROUP BY "task"."status"

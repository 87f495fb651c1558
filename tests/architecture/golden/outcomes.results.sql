-- takes ids bigint[]
-- gives id bigint, result bytea
SELECT "task"."id","task"."result"
FROM UNNEST(%(ids)s::bigint[]) AS "wanted"("id")
JOIN "goque"."task" ON "task"."id"="wanted"."id"

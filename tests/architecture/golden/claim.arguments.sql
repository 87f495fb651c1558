-- takes ids bigint[]
-- gives id bigint, args bytea
SELECT "task"."id",COALESCE("task"."args",CONVERT_TO(COALESCE("task"."payload"::text,'null'),'UTF8')) "args"
FROM UNNEST(%(ids)s::bigint[]) AS "wanted"("id")
JOIN "goque"."task" ON "task"."id"="wanted"."id"

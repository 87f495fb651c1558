-- takes first bigint, last bigint, type text
-- gives id bigint
SELECT "batch"."id"
FROM "goque"."batch"
WHERE "batch"."id" IN (SELECT "external_id"."task_id"/1000000000 "batch"
FROM "goque"."task"
JOIN "goque"."external_id" ON "external_id"."type"=%(type)s::text AND "external_id"."external_id"="task"."external_id"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND "external_id"."task_id"<>"task"."id")
ORDER BY "batch"."id" FOR KEY SHARE

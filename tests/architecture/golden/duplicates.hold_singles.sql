-- takes first bigint, last bigint, type text
-- gives id bigint
SELECT "holder"."id"
FROM "goque"."task"
JOIN "goque"."external_id" ON "external_id"."type"=%(type)s::text AND "external_id"."external_id"="task"."external_id"
JOIN "goque"."task" "holder" ON "holder"."id"="external_id"."task_id"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND "external_id"."task_id"<>"task"."id" AND "external_id"."task_id"<1000000000000
ORDER BY "holder"."id" FOR KEY SHARE OF "holder"

-- takes first bigint, last bigint, type text
-- gives task_id bigint
DELETE
FROM "goque"."external_id" USING "goque"."task","goque"."deleted_batch"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND "external_id"."type"=%(type)s::text AND "external_id"."external_id"="task"."external_id" AND "deleted_batch"."id"=("external_id"."task_id"/1000000000)
RETURNING "external_id"."task_id"

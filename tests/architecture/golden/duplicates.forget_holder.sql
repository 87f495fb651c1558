-- takes external_id text, type text
-- gives task_id bigint
DELETE
FROM "goque"."external_id" USING "goque"."deleted_batch"
WHERE "external_id"."type"=%(type)s::text AND "external_id"."external_id"=%(external_id)s::text AND "deleted_batch"."id"=("external_id"."task_id"/1000000000)
RETURNING "external_id"."task_id"

-- takes external_id text, type text
-- gives task_id bigint
SELECT "external_id"."task_id"
FROM "goque"."external_id"
WHERE "external_id"."type"=%(type)s::text AND "external_id"."external_id"=%(external_id)s::text AND NOT EXISTS (SELECT "deleted_batch"."id"
FROM "goque"."deleted_batch"
WHERE "deleted_batch"."id"=("external_id"."task_id"/1000000000))

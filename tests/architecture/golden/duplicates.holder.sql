-- takes external_id text, type text
-- gives task_id bigint
SELECT "external_id"."task_id"
FROM "goque"."external_id"
WHERE "external_id"."type"=%(type)s::text AND "external_id"."external_id"=%(external_id)s::text

-- takes external_id text, task bigint, type text
-- gives task_id bigint
INSERT INTO "goque"."external_id" ("type","external_id","task_id") VALUES (%(type)s::text,%(external_id)s::text,%(task)s::bigint)
ON CONFLICT ("type", "external_id") DO NOTHING
RETURNING "external_id"."task_id"

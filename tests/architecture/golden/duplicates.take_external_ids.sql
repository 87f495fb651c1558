-- takes first bigint, last bigint, type text
-- gives task_id bigint
INSERT INTO "goque"."external_id" ("type","external_id","task_id") SELECT %(type)s::text "type","task"."external_id" "external_id","task"."id"
FROM "goque"."task"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND "task"."external_id" IS NOT NULL AND "task"."same_as" IS NULL
ORDER BY "task"."external_id","task"."id"
ON CONFLICT ("type", "external_id") DO NOTHING
RETURNING "external_id"."task_id"

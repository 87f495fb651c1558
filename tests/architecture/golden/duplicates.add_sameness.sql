-- takes id bigint, key text
-- gives id bigint
UPDATE "goque"."batch" SET "sameness"=ARRAY_APPEND("batch"."sameness",%(key)s::text),"changed_at"=NOW()
WHERE "batch"."id"=%(id)s::bigint
RETURNING "batch"."id"

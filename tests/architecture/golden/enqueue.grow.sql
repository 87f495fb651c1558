-- takes id bigint, total bigint
-- gives id bigint
UPDATE "goque"."batch" SET "total"=%(total)s::bigint,"changed_at"=NOW()
WHERE "batch"."id"=%(id)s::bigint
RETURNING "batch"."id"

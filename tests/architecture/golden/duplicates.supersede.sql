-- takes id bigint
-- gives id bigint
UPDATE "goque"."batch" SET "superseded_at"=NOW()
WHERE "batch"."id"=%(id)s::bigint
RETURNING "batch"."id"

-- takes batch bigint
-- gives id bigint
UPDATE "goque"."batch" SET "canceled_at"=NULL::timestamptz,"cancel_reason"=NULL::text,"changed_at"=NOW()
WHERE "batch"."id"=%(batch)s::bigint
RETURNING "batch"."id"

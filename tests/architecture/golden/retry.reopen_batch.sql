-- takes batch bigint, owner text
-- gives id bigint
UPDATE "goque"."batch" SET "canceled_at"=NULL::timestamptz,"cancel_reason"=NULL::text,"changed_by"=SESSION_USER::text || %(p1)s::text || %(owner)s::text,"changed_at"=NOW()
WHERE "batch"."id"=%(batch)s::bigint
RETURNING "batch"."id"

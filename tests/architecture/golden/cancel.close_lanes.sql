-- takes batch bigint, owner text, reason text
-- gives id bigint
WITH "lanes" AS (UPDATE "goque"."lane" SET "canceled_at"=NOW()
WHERE "lane"."batch_id"=%(batch)s::bigint AND "lane"."canceled_at" IS NULL
RETURNING "lane"."id"),
"batch_row" AS (UPDATE "goque"."batch" SET "canceled_at"=NOW(),"changed_at"=NOW(),"cancel_reason"=%(reason)s::text,"changed_by"=SESSION_USER::text || %(p1)s::text || %(owner)s::text
WHERE "batch"."id"=%(batch)s::bigint
RETURNING "batch"."id")
SELECT "lanes"."id"
FROM "lanes"

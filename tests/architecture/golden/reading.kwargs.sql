-- takes id bigint
-- gives kwargs bytea
SELECT "batch"."kwargs"
FROM "goque"."batch"
WHERE "batch"."id"=%(id)s::bigint

-- takes batch bigint
-- gives first bigint, digests bytea
SELECT "batch_items"."first","batch_items"."digests"
FROM "goque"."batch_items"
WHERE "batch_items"."batch_id"=%(batch)s::bigint
ORDER BY "batch_items"."first"

-- takes batch bigint
-- gives id bigint
SELECT "lane"."id"
FROM "goque"."lane"
WHERE "lane"."batch_id"=%(batch)s::bigint
FOR UPDATE SKIP LOCKED

-- takes batch bigint
-- gives id bigint, closed boolean
SELECT "lane"."id","lane"."canceled_at" IS NOT NULL "closed"
FROM "goque"."lane"
WHERE "lane"."batch_id"=%(batch)s::bigint
ORDER BY "lane"."id"

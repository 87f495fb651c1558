-- takes digests text[], lane bigint
-- gives id bigint
UPDATE "goque"."lane" SET "objects"=%(digests)s::text[]
WHERE "lane"."id"=%(lane)s::bigint
RETURNING "lane"."id"

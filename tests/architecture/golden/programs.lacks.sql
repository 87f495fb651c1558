-- takes lane bigint, module text
-- gives id bigint
UPDATE "goque"."lane" SET "lacking"=%(module)s::text
WHERE "lane"."id"=%(lane)s::bigint
RETURNING "lane"."id"

-- takes lane bigint
-- gives queue text, python text, tags text[], key_ids text[]
SELECT "lane"."queue","lane"."python","lane"."tags","lane"."key_ids"
FROM "goque"."lane"
WHERE "lane"."id"=%(lane)s::bigint

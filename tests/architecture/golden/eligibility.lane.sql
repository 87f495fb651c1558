-- takes lane bigint
-- gives queue text, python text, tags text[], key_ids text[], named_type text
SELECT "lane"."queue","lane"."python","lane"."tags","lane"."key_ids",CASE WHEN "lane"."function_id" IS NULL THEN "lane"."type" ELSE NULL::text END "named_type"
FROM "goque"."lane"
WHERE "lane"."id"=%(lane)s::bigint

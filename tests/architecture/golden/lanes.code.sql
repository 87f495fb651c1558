-- takes lane bigint
-- gives hash text, code bytea, python text
SELECT "function"."hash","function"."code","function"."python"
FROM "goque"."lane"
JOIN "goque"."function" ON "function"."id"="lane"."function_id"
WHERE "lane"."id"=%(lane)s::bigint

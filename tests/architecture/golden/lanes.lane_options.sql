-- takes lane bigint
-- gives id bigint, digest text, queue text, priority integer, type text, function bigint, hash text, python text, tags text[], key_ids text[], policy bytea, max_attempts smallint, timeout_s double precision, keep_s double precision, cwd text, owner text, objects text[]
SELECT "lane"."id","lane"."digest","lane"."queue","lane"."priority","lane"."type","function"."id" "function","function"."hash","lane"."python","lane"."tags","lane"."key_ids","lane"."policy","lane"."max_attempts","lane"."timeout_s","lane"."keep_s","lane"."cwd","lane"."owner","lane"."objects"
FROM "goque"."lane"
JOIN "goque"."function" ON "function"."id"="lane"."function_id"
WHERE "lane"."id"=%(lane)s::bigint

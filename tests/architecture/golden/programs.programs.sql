-- takes lanes bigint[]
-- gives id bigint, digest text, batch_id bigint, queue text, type text, hash text, code bytea, source text, filename text, first_line integer, seal bytea, policy bytea, kwargs bytea, timeout_s double precision, cwd text, owner text, objects text[], traceparent text
SELECT "lane"."id","lane"."digest","lane"."batch_id","lane"."queue","lane"."type","function"."hash" "hash","function"."code" "code","function"."source","function"."filename","function"."first_line","lane"."seal","lane"."policy","batch"."kwargs" "kwargs","lane"."timeout_s","lane"."cwd","lane"."owner","lane"."objects","lane"."traceparent"
FROM UNNEST(%(lanes)s::bigint[]) AS "wanted"("id")
JOIN "goque"."lane" ON "lane"."id"="wanted"."id"
LEFT JOIN "goque"."function" ON "function"."id"="lane"."function_id"
LEFT JOIN "goque"."batch" ON "batch"."id"="lane"."batch_id"
WHERE "lane"."function_id" IS NULL OR "function"."id" IS NOT NULL

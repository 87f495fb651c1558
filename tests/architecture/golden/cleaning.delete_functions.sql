-- takes limit integer, unused double precision
-- gives id bigint
WITH "unused" AS MATERIALIZED (SELECT "function"."id"
FROM "goque"."function"
WHERE "function"."last_used_at"<(NOW()-MAKE_INTERVAL(secs => %(unused)s::double precision)) AND NOT EXISTS (SELECT "lane"."id"
FROM "goque"."lane"
WHERE "lane"."function_id"="function"."id")
LIMIT %(limit)s::integer
FOR UPDATE SKIP LOCKED)
DELETE
FROM "goque"."function" USING "unused"
WHERE "function"."id"="unused"."id"
RETURNING "function"."id"

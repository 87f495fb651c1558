-- takes after bigint, limit integer
-- gives last bigint, age double precision
SELECT MAX("page"."id") "last",DATE_PART('epoch', NOW()-MIN("page"."created_at")) "age"
FROM (SELECT "task"."id","task"."created_at"
FROM "goque"."task"
WHERE "task"."id">%(after)s::bigint AND "task"."id"<1000000000000
ORDER BY "task"."id"
LIMIT %(limit)s::integer) "page"

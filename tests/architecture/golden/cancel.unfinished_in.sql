-- takes first bigint, last bigint
-- gives id bigint
SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND "task"."status" IN ('error','new','pending','processing')
ORDER BY "task"."id"
LIMIT 1

-- takes first bigint, last bigint
-- gives n bigint
WITH "free" AS MATERIALIZED (SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint
FOR UPDATE SKIP LOCKED),
"gone" AS (DELETE
FROM "goque"."task" USING "free"
WHERE "task"."id"="free"."id"
RETURNING "task"."id"),
"runs" AS (DELETE
FROM "goque"."run"
WHERE "run"."task_id">=%(first)s::bigint AND "run"."task_id"<=%(last)s::bigint
RETURNING "run"."task_id"),
"freed" AS (DELETE
FROM "goque"."external_id"
WHERE "external_id"."task_id">=%(first)s::bigint AND "external_id"."task_id"<=%(last)s::bigint
RETURNING "external_id"."task_id"),
"edges" AS (DELETE
FROM "goque"."dependency"
WHERE "dependency"."dependant_id">=%(first)s::bigint AND "dependency"."dependant_id"<=%(last)s::bigint
RETURNING "dependency"."dependant_id")
SELECT COUNT(*) "n"
FROM "gone"

-- takes first bigint, last bigint
-- gives n bigint
SELECT COUNT(*) "n"
FROM "goque"."task"
WHERE "task"."id">=%(first)s::bigint AND "task"."id"<=%(last)s::bigint AND "task"."same_as" IS NOT NULL

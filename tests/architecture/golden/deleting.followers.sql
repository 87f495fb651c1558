-- takes first bigint, last bigint
-- gives batch bigint
SELECT DISTINCT "task"."id"/1000000000 "batch"
FROM "goque"."task"
WHERE "task"."same_as">=%(first)s::bigint AND "task"."same_as"<=%(last)s::bigint

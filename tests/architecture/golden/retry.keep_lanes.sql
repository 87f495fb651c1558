-- takes ids bigint[]
-- gives task_id bigint
UPDATE "goque"."run" SET "lane_id"="task"."lane_id"
FROM "goque"."task"
WHERE "run"."task_id"=ANY(%(ids)s::bigint[]) AND "task"."id"="run"."task_id" AND "run"."lane_id" IS NULL
RETURNING "run"."task_id"

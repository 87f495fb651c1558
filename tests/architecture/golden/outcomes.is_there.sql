-- takes task bigint
-- gives id bigint
SELECT "task"."id"
FROM "goque"."task"
JOIN "goque"."lane" ON "lane"."id"="task"."lane_id"
WHERE "task"."id"=%(task)s::bigint

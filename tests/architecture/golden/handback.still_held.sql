-- takes ids bigint[], runs bigint[], worker bigint
-- gives id bigint
SELECT "task"."id"
FROM UNNEST(%(ids)s::bigint[],%(runs)s::bigint[]) AS "held"("id","run")
JOIN "goque"."task" ON "task"."id"="held"."id" AND "task"."run"="held"."run" AND "task"."worker_id"=%(worker)s::bigint AND "task"."seq"<0
WHERE "task"."status" IN ('error','new','pending','processing','canceled')

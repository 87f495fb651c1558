-- takes worker bigint
-- gives id bigint, run integer, canceled boolean
SELECT "task"."id","task"."run","task"."status"='canceled' "canceled"
FROM "goque"."claim"
CROSS JOIN LATERAL (SELECT "member"."id"
FROM UNNEST("claim"."task_ids") AS "member"("id")) "member"
JOIN "goque"."task" ON "task"."id"="member"."id"
WHERE "claim"."worker_id"=%(worker)s::bigint AND "task"."worker_id"=%(worker)s::bigint AND "task"."seq"<0 AND "task"."status" IN ('canceled','error','new','pending','processing')

-- takes 
-- gives number bigint
DELETE
FROM "goque"."claim" USING "goque"."worker"
WHERE "worker"."id"="claim"."worker_id" AND ("worker"."lost_at" IS NOT NULL OR "worker"."ended_at" IS NOT NULL) AND NOT EXISTS (SELECT "task"."id"
FROM UNNEST("claim"."task_ids") AS "member"("id")
JOIN "goque"."task" ON "task"."id"="member"."id"
WHERE "task"."worker_id"="claim"."worker_id" AND "task"."seq"<0 AND "task"."status" IN ('error','new','pending','processing','canceled'))
RETURNING "claim"."number"

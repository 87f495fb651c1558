-- takes 
-- gives number bigint
SELECT "claim"."number"
FROM "goque"."claim"
WHERE EXISTS (SELECT "worker"."id"
FROM "goque"."worker"
WHERE "worker"."id"="claim"."worker_id" AND ("worker"."lost_at" IS NOT NULL OR "worker"."ended_at" IS NOT NULL))
LIMIT 1

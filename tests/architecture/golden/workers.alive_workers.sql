-- takes 
-- gives id bigint
SELECT "worker"."id"
FROM "goque"."worker"
WHERE "worker"."lost_at" IS NULL AND "worker"."ended_at" IS NULL

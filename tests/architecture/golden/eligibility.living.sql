-- takes 
-- gives id bigint, python text, queues text[], tags text[], key_ids text[], types text[], local boolean
SELECT "worker"."id","worker"."python","worker"."queues","worker"."tags","worker"."key_ids","worker"."types","worker"."local"
FROM "goque"."worker"
WHERE "worker"."lost_at" IS NULL AND "worker"."ended_at" IS NULL

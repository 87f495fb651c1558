-- takes 
-- gives name text, paused boolean, oldest_ready_s double precision, new bigint, pending bigint, processing bigint, done bigint, error bigint, attempts_left bigint, canceled bigint
SELECT "queues"."name","queues"."paused","queues"."oldest_ready_s","queues"."new","queues"."pending","queues"."processing","queues"."done","queues"."error","queues"."attempts_left","queues"."canceled"
FROM "goque"."queues"

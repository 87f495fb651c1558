-- takes 
-- gives singles double precision, batches double precision
SELECT LEAST(LEAST(COALESCE("lanes"."s",604800::double precision),COALESCE("queues"."done",604800::double precision),COALESCE("queues"."failed",2592000::double precision)),604800::double precision) "singles",LEAST(LEAST(COALESCE("batches"."s",2592000::double precision),COALESCE("queues"."batches",2592000::double precision)),2592000::double precision) "batches"
FROM (SELECT MIN("lane"."keep_s") "s"
FROM "goque"."lane"
WHERE "lane"."batch_id" IS NULL) "lanes"
CROSS JOIN (SELECT MIN("batch"."keep_s") "s"
FROM "goque"."batch") "batches"
CROSS JOIN (SELECT MIN("queue"."keep_done_s") "done",MIN("queue"."keep_failed_s") "failed",MIN("queue"."keep_batches_s") "batches"
FROM "goque"."queue") "queues"

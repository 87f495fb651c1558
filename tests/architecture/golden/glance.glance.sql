-- takes batch bigint, local boolean
-- gives paused boolean, age_s double precision, n bigint, slots bigint, new bigint, pending bigint, processing bigint, done bigint, error bigint, attempts_left bigint, canceled bigint
SELECT "batch"."paused",DATE_PART('epoch', NOW()-"batch"."created_at") "age_s","alive"."n","alive"."slots","tallied"."new","tallied"."pending","tallied"."processing","tallied"."done","tallied"."error","tallied"."attempts_left","tallied"."canceled"
FROM "goque"."batch"
CROSS JOIN LATERAL (SELECT COALESCE(SUM("tally"."new")::bigint,0) "new",COALESCE(SUM("tally"."pending")::bigint,0) "pending",COALESCE(SUM("tally"."processing")::bigint,0) "processing",COALESCE(SUM("tally"."done")::bigint,0) "done",COALESCE(SUM("tally"."error")::bigint,0) "error",COALESCE(SUM("tally"."attempts_left")::bigint,0) "attempts_left",COALESCE(SUM("tally"."canceled")::bigint,0) "canceled"
FROM "goque"."lane"
JOIN "goque"."tally" ON "tally"."lane_id"="lane"."id"
WHERE "lane"."batch_id"="batch"."id") "tallied"
CROSS JOIN LATERAL (SELECT COUNT(*) "n",COALESCE(SUM("worker"."slots")::bigint,0)::bigint "slots"
FROM "goque"."worker"
WHERE "worker"."lost_at" IS NULL AND "worker"."ended_at" IS NULL AND (NOT "worker"."local" OR %(local)s::boolean)) "alive"
WHERE "batch"."id"=%(batch)s::bigint

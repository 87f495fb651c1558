-- takes lately double precision
-- gives id bigint, host text, pid integer, version text, python text, key_ids text[], missed smallint, beat_s double precision, lost boolean
SELECT "worker"."id","worker"."host","worker"."pid","worker"."version","worker"."python","worker"."key_ids","worker"."missed",DATE_PART('epoch', NOW()-"worker"."beat_at") "beat_s","worker"."lost_at" IS NOT NULL "lost"
FROM "goque"."worker"
WHERE "worker"."ended_at" IS NULL AND ("worker"."lost_at" IS NULL OR "worker"."lost_at">(NOW()-MAKE_INTERVAL(secs => %(lately)s::double precision)))
ORDER BY "worker"."id"

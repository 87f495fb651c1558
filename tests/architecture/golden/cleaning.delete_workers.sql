-- takes gone double precision, limit integer
-- gives id bigint
WITH "gone" AS MATERIALIZED (SELECT "worker"."id"
FROM "goque"."worker"
WHERE COALESCE("worker"."ended_at","worker"."lost_at")<(NOW()-MAKE_INTERVAL(secs => %(gone)s::double precision)) AND NOT EXISTS (SELECT "claim"."worker_id"
FROM "goque"."claim"
WHERE "claim"."worker_id"="worker"."id")
LIMIT %(limit)s::integer
FOR UPDATE SKIP LOCKED)
DELETE
FROM "goque"."worker" USING "gone"
WHERE "worker"."id"="gone"."id"
RETURNING "worker"."id"

-- takes buffered integer, interval double precision, name text, running integer, worker bigint
-- gives id bigint
WITH "beaten" AS (UPDATE "goque"."worker" SET "missed"=0,"beat_at"=NOW(),"running"=%(running)s::integer,"buffered"=%(buffered)s::integer
WHERE "worker"."id"=%(worker)s::bigint AND "worker"."lost_at" IS NULL AND "worker"."ended_at" IS NULL
RETURNING "worker"."id"),
"turn" AS (SELECT "maintenance"."name"
FROM "goque"."maintenance"
WHERE "maintenance"."name"=%(name)s::text AND %(interval)s::double precision<=ABS(DATE_PART('epoch', NOW()-"maintenance"."last_at")) AND EXISTS (SELECT "beaten"."id"
FROM "beaten")
FOR UPDATE SKIP LOCKED),
"took" AS (UPDATE "goque"."maintenance" SET "last_at"=NOW()
FROM "turn"
WHERE "maintenance"."name"="turn"."name"
RETURNING "maintenance"."name"),
"others" AS MATERIALIZED (SELECT "worker"."id"
FROM "goque"."worker"
WHERE "worker"."lost_at" IS NULL AND "worker"."ended_at" IS NULL AND "worker"."id"<>%(worker)s::bigint AND EXISTS (SELECT "took"."name"
FROM "took")
FOR UPDATE SKIP LOCKED),
"counted" AS (UPDATE "goque"."worker" SET "missed"=("worker"."missed"+1)::smallint,"lost_at"=CASE WHEN ("worker"."missed"+1)>=5 THEN NOW() ELSE NULL::timestamptz END
FROM "others"
WHERE "worker"."id"="others"."id"
RETURNING "worker"."id","worker"."lost_at")
(SELECT "beaten"."id"
FROM "beaten") UNION ALL (SELECT "counted"."id"
FROM "counted"
WHERE "counted"."lost_at" IS NOT NULL)

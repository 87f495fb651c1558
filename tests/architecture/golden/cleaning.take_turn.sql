-- takes interval double precision, name text
-- gives name text
WITH "turn" AS (SELECT "maintenance"."name"
FROM "goque"."maintenance"
WHERE "maintenance"."name"=%(name)s::text AND %(interval)s::double precision<=ABS(DATE_PART('epoch', NOW()-"maintenance"."last_at"))
FOR UPDATE SKIP LOCKED)
UPDATE "goque"."maintenance" SET "last_at"=NOW()
FROM "turn"
WHERE "maintenance"."name"="turn"."name"
RETURNING "maintenance"."name"

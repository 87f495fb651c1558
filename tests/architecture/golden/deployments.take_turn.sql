-- takes name text
-- gives name text
UPDATE "goque"."maintenance" SET "last_at"=NOW()
WHERE "maintenance"."name"=%(name)s::text
RETURNING "maintenance"."name"

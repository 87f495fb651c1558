-- takes name text, value jsonb
-- gives name text
INSERT INTO "goque"."setting" ("name","value") VALUES (%(name)s::text,%(value)s::jsonb)
ON CONFLICT ("name") DO NOTHING
RETURNING "setting"."name"

-- takes names text[]
-- gives name text, setting text
SELECT "pg_settings"."name","pg_settings"."setting"
FROM "pg_catalog"."pg_settings"
WHERE "pg_settings"."name"=ANY(%(names)s::text[])

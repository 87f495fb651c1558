-- takes name text
-- gives value jsonb
SELECT "setting"."value"
FROM "goque"."setting"
WHERE "setting"."name"=%(name)s::text

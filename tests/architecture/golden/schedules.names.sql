-- takes 
-- gives name text
SELECT "schedule"."name"
FROM "goque"."schedule"
WHERE "schedule"."retired_at" IS NULL

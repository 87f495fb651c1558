-- takes 
-- gives seconds double precision
SELECT EXTRACT(EPOCH
FROM MIN("schedule"."next_at")-NOW())::double precision "seconds"
FROM "goque"."schedule"
WHERE "schedule"."retired_at" IS NULL

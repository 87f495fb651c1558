-- takes 
-- gives seconds double precision
SELECT DATE_PART('epoch', MIN("schedule"."next_at")-NOW()) "seconds"
FROM "goque"."schedule"
WHERE "schedule"."retired_at" IS NULL

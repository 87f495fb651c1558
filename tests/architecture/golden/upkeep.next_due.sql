-- takes 
-- gives seconds double precision
SELECT EXTRACT(EPOCH
FROM "task"."run_at"-NOW())::double precision "seconds"
FROM "goque"."task"
WHERE "task"."run_at" IS NOT NULL
ORDER BY "task"."run_at"
LIMIT 1

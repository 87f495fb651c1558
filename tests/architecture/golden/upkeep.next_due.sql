-- takes 
-- gives seconds double precision
SELECT DATE_PART('epoch', "task"."run_at"-NOW()) "seconds"
FROM "goque"."task"
WHERE "task"."run_at" IS NOT NULL
ORDER BY "task"."run_at"
LIMIT 1

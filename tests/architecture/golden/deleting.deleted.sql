-- takes 
-- gives id bigint, total bigint
SELECT "deleted_batch"."id","deleted_batch"."total"
FROM "goque"."deleted_batch"
ORDER BY "deleted_batch"."id"
LIMIT 100

-- takes 
-- gives batch bigint, ready bigint
SELECT NEXTVAL('"goque"."batch_id"'::regclass) "batch",(EXTRACT(EPOCH
FROM CLOCK_TIMESTAMP())::double precision*1000000)::bigint "ready"

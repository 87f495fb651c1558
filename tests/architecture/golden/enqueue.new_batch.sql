-- takes 
-- gives batch bigint, ready bigint
SELECT NEXTVAL('"goque"."batch_id"'::regclass) "batch",(DATE_PART('epoch', CLOCK_TIMESTAMP())*1000000)::bigint "ready"

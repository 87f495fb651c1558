-- takes 
-- gives seq bigint
SELECT (EXTRACT(EPOCH
FROM CLOCK_TIMESTAMP())::double precision*1000000)::bigint "seq"

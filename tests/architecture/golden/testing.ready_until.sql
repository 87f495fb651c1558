-- takes 
-- gives seq bigint
SELECT (DATE_PART('epoch', CLOCK_TIMESTAMP())*1000000)::bigint "seq"

-- takes 
-- gives now timestamptz
SELECT CLOCK_TIMESTAMP() "now"

-- takes 
-- gives moment timestamptz
SELECT NOW() "moment"

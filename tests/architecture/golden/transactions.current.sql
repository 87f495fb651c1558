-- takes 
-- gives number bigint, database text
SELECT PG_CURRENT_XACT_ID()::text::bigint "number",CURRENT_DATABASE()::text "database"

-- takes number bigint
-- gives state text, database text
SELECT PG_XACT_STATUS(%(number)s::bigint::text::xid8) "state",CURRENT_DATABASE()::text "database"

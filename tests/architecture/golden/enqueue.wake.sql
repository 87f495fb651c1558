-- takes channel text, payload text
-- gives pg_notify void
SELECT PG_NOTIFY(%(channel)s::text,%(payload)s::text) "pg_notify"

-- takes client text, statistics text, usage text
-- gives now timestamptz, role text, sees_all boolean, sessions bigint
SELECT CLOCK_TIMESTAMP() "now",GETPGUSERNAME()::text "role",PG_HAS_ROLE(%(statistics)s::text,%(usage)s::text) "sees_all",(SELECT COUNT(*) "count"
FROM "pg_catalog"."pg_stat_activity"
WHERE "pg_stat_activity"."backend_type"=%(client)s::text) "sessions"

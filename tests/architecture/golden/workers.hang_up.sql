-- takes kind text
-- gives ended boolean
SELECT PG_TERMINATE_BACKEND("pg_locks"."pid") "ended"
FROM "pg_catalog"."pg_locks"
JOIN "goque"."worker" ON "worker"."id"="pg_locks"."objid"::bigint
JOIN "pg_catalog"."pg_stat_activity" ON "pg_stat_activity"."pid"="pg_locks"."pid"
WHERE "pg_locks"."locktype"=%(kind)s::text AND "pg_locks"."classid"='"goque"."worker"'::regclass::oid AND "pg_stat_activity"."datname"=CURRENT_DATABASE() AND "pg_stat_activity"."usename"=GETPGUSERNAME() AND "worker"."lost_at" IS NOT NULL

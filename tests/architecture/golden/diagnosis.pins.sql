-- takes prepared text, sender text, unknown text
-- gives pid integer, who text, application text, state text, age_s double precision, transactions integer
(SELECT "pg_stat_activity"."pid" "pid",COALESCE("pg_stat_activity"."usename"::text,%(unknown)s::text) "who",COALESCE("pg_stat_activity"."application_name",%(unknown)s::text) "application",COALESCE("pg_stat_activity"."state",%(unknown)s::text) "state",COALESCE(DATE_PART('epoch', NOW()-"pg_stat_activity"."xact_start"),0::double precision) "age_s",AGE("pg_stat_activity"."backend_xmin") "transactions"
FROM "pg_catalog"."pg_stat_activity"
WHERE "pg_stat_activity"."backend_xmin" IS NOT NULL AND ("pg_stat_activity"."datname"=CURRENT_DATABASE() OR "pg_stat_activity"."backend_type"=%(sender)s::text) AND "pg_stat_activity"."pid"<>PG_BACKEND_PID()) UNION ALL (SELECT NULL::integer "pid","pg_prepared_xacts"."owner"::text "who","pg_prepared_xacts"."gid" "application",%(prepared)s::text "state",DATE_PART('epoch', NOW()-"pg_prepared_xacts"."prepared") "age_s",AGE("pg_prepared_xacts"."transaction") "transactions"
FROM "pg_catalog"."pg_prepared_xacts"
WHERE "pg_prepared_xacts"."database"=CURRENT_DATABASE())

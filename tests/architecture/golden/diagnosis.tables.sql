-- takes insert text, schema text, select text, update text
-- gives name text, n_live_tup bigint, n_dead_tup bigint, vacuumed_s double precision, bytes bigint, reloptions text[], may_select boolean, may_insert boolean, may_update boolean
SELECT "pg_stat_user_tables"."relname"::text "name","pg_stat_user_tables"."n_live_tup","pg_stat_user_tables"."n_dead_tup",DATE_PART('epoch', NOW()-GREATEST("pg_stat_user_tables"."last_vacuum","pg_stat_user_tables"."last_autovacuum")) "vacuumed_s",PG_TABLE_SIZE("pg_class"."oid") "bytes","pg_class"."reloptions",HAS_ANY_COLUMN_PRIVILEGE("pg_class"."oid",%(select)s::text) "may_select",HAS_ANY_COLUMN_PRIVILEGE("pg_class"."oid",%(insert)s::text) "may_insert",HAS_ANY_COLUMN_PRIVILEGE("pg_class"."oid",%(update)s::text) "may_update"
FROM "pg_catalog"."pg_stat_user_tables"
JOIN "pg_catalog"."pg_class" ON "pg_class"."oid"="pg_stat_user_tables"."relid"
WHERE %(schema)s::text="pg_stat_user_tables"."schemaname"::text
ORDER BY "pg_stat_user_tables"."relname"

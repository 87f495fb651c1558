-- takes schema text
-- gives name text, table_name text, bytes bigint, entries double precision
SELECT "pg_stat_user_indexes"."indexrelname"::text "name","pg_stat_user_indexes"."relname"::text "table_name",PG_RELATION_SIZE("pg_class"."oid") "bytes","pg_class"."reltuples"::double precision "entries"
FROM "pg_catalog"."pg_stat_user_indexes"
JOIN "pg_catalog"."pg_class" ON "pg_class"."oid"="pg_stat_user_indexes"."indexrelid"
WHERE %(schema)s::text="pg_stat_user_indexes"."schemaname"::text
ORDER BY "pg_stat_user_indexes"."indexrelname"

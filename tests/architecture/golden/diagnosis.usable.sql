-- takes schema text, usage text
-- gives usage boolean
SELECT HAS_SCHEMA_PRIVILEGE("pg_namespace"."oid",%(usage)s::text) "usage"
FROM "pg_catalog"."pg_namespace"
WHERE %(schema)s::text="pg_namespace"."nspname"::text

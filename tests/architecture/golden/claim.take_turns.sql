-- takes lanes bigint[]
-- gives id bigint
SELECT "wanted"."id"
FROM UNNEST(%(lanes)s::bigint[]) AS "wanted"("id")
WHERE PG_TRY_ADVISORY_XACT_LOCK('"goque"."lane"'::regclass::oid::integer,MOD("wanted"."id",2147483648)::integer)

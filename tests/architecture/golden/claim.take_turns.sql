-- takes lanes bigint[], worker bigint
-- gives id bigint
SELECT "wanted"."id"
FROM UNNEST(%(lanes)s::bigint[]) AS "wanted"("id")
WHERE PG_TRY_ADVISORY_XACT_LOCK('"goque"."lane"'::regclass::oid::integer,MOD(("wanted"."id"*2)+MOD(%(worker)s::bigint,2),2147483648)::integer)

-- takes worker integer
-- gives marked boolean
SELECT PG_TRY_ADVISORY_XACT_LOCK_SHARED('"goque"."worker"'::regclass::oid::integer,%(worker)s::integer) "marked"

-- takes limit integer
-- gives name text, type text, cron text, every_s double precision, tz text, catch_up text, next_at timestamptz, paused boolean, resumed_at timestamptz, revision bigint, now timestamptz
SELECT "schedule"."name","schedule"."type","schedule"."cron","schedule"."every_s","schedule"."tz","schedule"."catch_up","schedule"."next_at","schedule"."paused","schedule"."resumed_at","schedule"."revision",NOW() "now"
FROM "goque"."schedule"
WHERE "schedule"."next_at"<=NOW() AND "schedule"."retired_at" IS NULL
LIMIT %(limit)s::integer

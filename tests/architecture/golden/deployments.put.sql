-- takes app text, catch_ups text[], crons text[], digest text, everys double precision[], names text[], next_ats timestamptz[], payloads jsonb[], run_on_starts boolean[], types text[], tzs text[]
-- gives name text
INSERT INTO "goque"."schedule" ("name","type","cron","every_s","tz","catch_up","run_on_start","payload","next_at","app","deployed_at") SELECT "row"."name","row"."type","row"."cron","row"."every_s","row"."tz","row"."catch_up","row"."run_on_start","row"."payload","row"."next_at","deployment"."app","deployment"."seen_at"
FROM UNNEST(%(names)s::text[],%(types)s::text[],%(crons)s::text[],%(everys)s::double precision[],%(tzs)s::text[],%(catch_ups)s::text[],%(run_on_starts)s::boolean[],%(payloads)s::jsonb[],%(next_ats)s::timestamptz[]) AS "row"("name","type","cron","every_s","tz","catch_up","run_on_start","payload","next_at")
CROSS JOIN "goque"."deployment"
WHERE "deployment"."app"=%(app)s::text AND "deployment"."digest"=%(digest)s::text AND NOT EXISTS (SELECT "other"."digest"
FROM "goque"."deployment" "other"
WHERE "other"."app"="deployment"."app" AND ("other"."version">"deployment"."version" OR ("other"."version"="deployment"."version" AND "other"."seen_at">"deployment"."seen_at")))
ON CONFLICT ("name") DO UPDATE SET "type"="excluded"."type","cron"="excluded"."cron","every_s"="excluded"."every_s","tz"="excluded"."tz","catch_up"="excluded"."catch_up","run_on_start"="excluded"."run_on_start","payload"="excluded"."payload","next_at"=CASE WHEN "schedule"."retired_at" IS NOT NULL OR "schedule"."cron" IS DISTINCT
FROM "excluded"."cron" OR "schedule"."every_s" IS DISTINCT
FROM "excluded"."every_s" OR "schedule"."tz"<>"excluded"."tz" OR ("excluded"."run_on_start" AND ("schedule"."retired_at" IS NOT NULL OR "schedule"."cron" IS DISTINCT
FROM "excluded"."cron" OR "schedule"."every_s" IS DISTINCT
FROM "excluded"."every_s" OR "schedule"."tz"<>"excluded"."tz" OR "schedule"."type"<>"excluded"."type" OR "schedule"."catch_up"<>"excluded"."catch_up" OR "schedule"."run_on_start"<>"excluded"."run_on_start" OR "schedule"."payload" IS DISTINCT
FROM "excluded"."payload")) THEN "excluded"."next_at" ELSE "schedule"."next_at" END,"app"="excluded"."app","deployed_at"="excluded"."deployed_at","retired_at"=NULL::timestamptz,"revision"="schedule"."revision"+1
WHERE ("schedule"."app"="excluded"."app" AND ("schedule"."retired_at" IS NOT NULL OR "schedule"."cron" IS DISTINCT
FROM "excluded"."cron" OR "schedule"."every_s" IS DISTINCT
FROM "excluded"."every_s" OR "schedule"."tz"<>"excluded"."tz" OR "schedule"."type"<>"excluded"."type" OR "schedule"."catch_up"<>"excluded"."catch_up" OR "schedule"."run_on_start"<>"excluded"."run_on_start" OR "schedule"."payload" IS DISTINCT
FROM "excluded"."payload" OR "schedule"."deployed_at"<>"excluded"."deployed_at")) OR ("schedule"."app"<>"excluded"."app" AND "schedule"."deployed_at"<="excluded"."deployed_at")
RETURNING "schedule"."name"

-- takes app text, digest text, names text[]
-- gives name text
UPDATE "goque"."schedule" SET "retired_at"=NOW(),"revision"="schedule"."revision"+1
WHERE "schedule"."app"=%(app)s::text AND "schedule"."retired_at" IS NULL AND NOT "schedule"."name"=ANY(%(names)s::text[]) AND EXISTS (SELECT "deployment"."digest"
FROM "goque"."deployment"
WHERE "deployment"."app"=%(app)s::text AND "deployment"."digest"=%(digest)s::text AND NOT EXISTS (SELECT "other"."digest"
FROM "goque"."deployment" "other"
WHERE "other"."app"="deployment"."app" AND ("other"."version">"deployment"."version" OR ("other"."version"="deployment"."version" AND "other"."seen_at">"deployment"."seen_at"))))
RETURNING "schedule"."name"

-- takes app text, digest text
-- gives newest boolean
SELECT EXISTS (SELECT "deployment"."digest"
FROM "goque"."deployment"
WHERE "deployment"."app"=%(app)s::text AND "deployment"."digest"=%(digest)s::text AND NOT EXISTS (SELECT "other"."digest"
FROM "goque"."deployment" "other"
WHERE "other"."app"="deployment"."app" AND ("other"."version">"deployment"."version" OR ("other"."version"="deployment"."version" AND "other"."seen_at">"deployment"."seen_at")))) "newest"

-- takes app text
-- gives digest text
WITH "gone" AS (DELETE
FROM "goque"."deployment"
WHERE "deployment"."app"=%(app)s::text
RETURNING "deployment"."digest"),
"removed" AS (DELETE
FROM "goque"."schedule"
WHERE "schedule"."app"=%(app)s::text
RETURNING "schedule"."name")
SELECT "gone"."digest"
FROM "gone"

-- takes names text[], paused boolean
-- gives name text
UPDATE "goque"."schedule" SET "paused"=%(paused)s::boolean,"resumed_at"=CASE WHEN %(paused)s::boolean THEN "schedule"."resumed_at" ELSE NOW() END,"revision"="schedule"."revision"+1
WHERE "schedule"."name"=ANY(%(names)s::text[]) AND "schedule"."paused"<>%(paused)s::boolean
RETURNING "schedule"."name"

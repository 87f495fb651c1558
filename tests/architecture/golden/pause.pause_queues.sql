-- takes names text[], paused boolean
-- gives name text
INSERT INTO "goque"."queue" ("name","paused") SELECT "wanted"."name",%(paused)s::boolean "paused"
FROM UNNEST(%(names)s::text[]) AS "wanted"("name")
ON CONFLICT ("name") DO UPDATE SET "paused"="excluded"."paused"
RETURNING "queue"."name"

-- takes me text, names text[]
-- gives id bigint
SELECT "batch"."id"
FROM UNNEST(%(names)s::text[]) AS "wanted"("name")
JOIN "goque"."batch" ON ("batch"."name"="wanted"."name" AND (%(me)s::text IS NULL OR "batch"."owner"=%(me)s::text)) OR "wanted"."name"=("batch"."owner" || %(p1)s::text || "batch"."name")
WHERE "batch"."superseded_at" IS NULL

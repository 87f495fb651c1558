-- takes names text[], usage text
-- gives name text, is_there boolean, held boolean
SELECT "wanted"."name",TO_REGROLE("wanted"."name") IS NOT NULL "is_there",CASE WHEN TO_REGROLE("wanted"."name") IS NOT NULL THEN PG_HAS_ROLE("wanted"."name",%(usage)s::text) ELSE FALSE END "held"
FROM UNNEST(%(names)s::text[]) AS "wanted"("name")

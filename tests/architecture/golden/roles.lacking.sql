-- takes columns text[], names text[], tables text[], whats text[]
-- gives name text, table_name text, column_name text, what text
SELECT "wanted"."name","wanted"."table_name","wanted"."column_name","wanted"."what"
FROM UNNEST(%(names)s::text[],%(tables)s::text[],%(columns)s::text[],%(whats)s::text[]) AS "wanted"("name","table_name","column_name","what")
WHERE CASE WHEN TO_REGROLE("wanted"."name") IS NOT NULL THEN NOT HAS_COLUMN_PRIVILEGE("wanted"."name","wanted"."table_name","wanted"."column_name","wanted"."what") ELSE FALSE END

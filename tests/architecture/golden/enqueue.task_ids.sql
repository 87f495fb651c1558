-- takes count integer
-- gives id bigint
SELECT NEXTVAL('"goque"."task_id"'::regclass) "id"
FROM GENERATE_SERIES(1,%(count)s::integer) AS "n"("value")

-- takes days integer
-- gives value integer, position bigint
SELECT "n"."value","n"."position" FROM GENERATE_SERIES(%(p1)s::integer,%(days)s::integer) WITH ORDINALITY AS "n"("value","position") WHERE NOT "n"."value" IN (SELECT "task"."run" FROM "goque"."task")

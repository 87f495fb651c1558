-- takes firsts bigint[], lasts bigint[], limit integer
-- gives id bigint, run integer, size integer, result bytea
SELECT "ended"."id","ended"."run","ended"."size","ended"."result"
FROM UNNEST(%(firsts)s::bigint[],%(lasts)s::bigint[]) AS "span"("first","last")
CROSS JOIN LATERAL (SELECT "task"."id",CASE WHEN "task"."status"='done' AND "task"."same_as" IS NULL THEN "task"."run" ELSE NULL::integer END "run",OCTET_LENGTH("task"."result") "size",CASE WHEN OCTET_LENGTH("task"."result")<=8192 THEN "task"."result" ELSE NULL::bytea END "result"
FROM "goque"."task"
WHERE "task"."id">="span"."first" AND "task"."id"<="span"."last" AND "task"."status" IN ('attempts_left','canceled','done')
ORDER BY "task"."id"
LIMIT %(limit)s::integer) "ended"
LIMIT %(limit)s::integer

-- takes firsts bigint[], lasts bigint[]
-- gives lane_id bigint
SELECT DISTINCT "row"."lane_id"
FROM UNNEST(%(firsts)s::bigint[],%(lasts)s::bigint[]) AS "span"("first","last")
CROSS JOIN LATERAL (SELECT "task"."lane_id"
FROM "goque"."task"
WHERE "task"."id">="span"."first" AND "task"."id"<="span"."last"
LIMIT 10000) "row"

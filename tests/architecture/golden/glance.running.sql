-- takes first bigint, last bigint, most bigint
-- gives id bigint, seconds double precision, progress jsonb
SELECT "task"."id",DATE_PART('epoch', CLOCK_TIMESTAMP()-"task"."started_at") "seconds","task"."progress"
FROM "goque"."claim"
CROSS JOIN LATERAL (SELECT "member"."id"
FROM UNNEST("claim"."task_ids") AS "member"("id")
WHERE "member"."id">=%(first)s::bigint AND "member"."id"<=%(last)s::bigint) "member"
JOIN "goque"."task" ON "task"."id"="member"."id"
WHERE "task"."seq"<0 AND "task"."status"='processing' AND "task"."started_at" IS NOT NULL
ORDER BY "task"."started_at","task"."id"
LIMIT %(most)s::bigint

-- takes id bigint
-- gives args bytea, payload jsonb
SELECT "task"."args","task"."payload"
FROM "goque"."task"
WHERE "task"."id"=%(id)s::bigint

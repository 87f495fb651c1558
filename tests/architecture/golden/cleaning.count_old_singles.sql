-- takes after bigint, last bigint, queue text
-- gives n bigint
SELECT COUNT(*) "n"
FROM "goque"."task"
JOIN "goque"."lane" ON "lane"."id"="task"."lane_id"
LEFT JOIN "goque"."queue" ON "queue"."name"="lane"."queue"
WHERE "task"."id">%(after)s::bigint AND "task"."id"<=%(last)s::bigint AND "task"."status" IN ('attempts_left','canceled','done') AND ("task"."status"<>'canceled' OR "task"."seq" IS NULL) AND DATE_PART('epoch', NOW()-COALESCE("task"."finished_at","task"."created_at"))>COALESCE("lane"."keep_s",CASE WHEN "task"."status"='done' THEN COALESCE("queue"."keep_done_s",604800::double precision) ELSE COALESCE("queue"."keep_failed_s",2592000::double precision) END) AND (%(queue)s::text IS NULL OR "lane"."queue"=%(queue)s::text)

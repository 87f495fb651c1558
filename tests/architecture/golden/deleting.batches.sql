-- takes after bigint, limit integer, queue text
-- gives id bigint, total bigint, age double precision, due boolean
SELECT "page"."id","page"."total",DATE_PART('epoch', NOW()-"page"."created_at") "age","facts"."unfinished"=0 AND DATE_PART('epoch', NOW()-COALESCE("facts"."changed_at","page"."changed_at"))>COALESCE("page"."keep_s","facts"."keep_s",2592000::double precision) AND DATE_PART('epoch', NOW()-"page"."changed_at")>COALESCE("page"."keep_s","facts"."keep_s",2592000::double precision) AND COALESCE("facts"."wanted",FALSE) "due"
FROM (SELECT "batch"."id","batch"."total","batch"."created_at","batch"."changed_at","batch"."keep_s"
FROM "goque"."batch"
WHERE "batch"."id">%(after)s::bigint
ORDER BY "batch"."id"
LIMIT %(limit)s::integer) "page"
CROSS JOIN LATERAL (SELECT COALESCE(SUM((((0+"tally"."error")+"tally"."new")+"tally"."pending")+"tally"."processing")::bigint,0) "unfinished",MAX("tally"."changed_at") "changed_at",MAX(COALESCE("queue"."keep_batches_s",2592000::double precision)) "keep_s",BOOL_OR(%(queue)s::text IS NULL OR "lane"."queue"=%(queue)s::text) "wanted"
FROM "goque"."lane"
LEFT JOIN "goque"."tally" ON "tally"."lane_id"="lane"."id"
LEFT JOIN "goque"."queue" ON "queue"."name"="lane"."queue"
WHERE "lane"."batch_id"="page"."id") "facts"

-- takes owner text
-- gives left_over bigint
SELECT COALESCE(SUM((("tally"."new"+"tally"."pending")+"tally"."processing")+"tally"."error")::bigint,0) "left_over"
FROM "goque"."lane"
JOIN "goque"."tally" ON "tally"."lane_id"="lane"."id"
WHERE "lane"."owner"=%(owner)s::text AND NOT EXISTS (SELECT "worker"."id"
FROM "goque"."worker"
WHERE "worker"."ended_at" IS NULL AND "worker"."lost_at" IS NULL AND "worker"."beat_at">(NOW()-MAKE_INTERVAL(secs => %(p1)s::double precision)))

-- takes batch bigint
-- gives new bigint, pending bigint, processing bigint, done bigint, error bigint, attempts_left bigint, canceled bigint
SELECT COALESCE(SUM("tally"."new")::bigint,0) "new",COALESCE(SUM("tally"."pending")::bigint,0) "pending",COALESCE(SUM("tally"."processing")::bigint,0) "processing",COALESCE(SUM("tally"."done")::bigint,0) "done",COALESCE(SUM("tally"."error")::bigint,0) "error",COALESCE(SUM("tally"."attempts_left")::bigint,0) "attempts_left",COALESCE(SUM("tally"."canceled")::bigint,0) "canceled"
FROM "goque"."lane"
JOIN "goque"."tally" ON "tally"."lane_id"="lane"."id"
WHERE "lane"."batch_id"=%(batch)s::bigint

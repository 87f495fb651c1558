-- takes every text, lane bigint
-- gives paused boolean
SELECT "lane"."paused" OR EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"="lane"."queue" AND "queue"."paused") OR EXISTS (SELECT "queue"."name"
FROM "goque"."queue"
WHERE "queue"."name"=%(every)s::text AND "queue"."paused") "paused"
FROM "goque"."lane"
WHERE "lane"."id"=%(lane)s::bigint

-- takes limit integer, unused_s double precision
-- gives digest text
WITH "old" AS MATERIALIZED (SELECT "object"."digest","object"."key_id"
FROM "goque"."object"
WHERE DATE_PART('epoch', NOW()-"object"."last_used_at")>COALESCE("object"."keep_s",%(unused_s)s::double precision) AND NOT EXISTS (SELECT "lane"."id"
FROM "goque"."lane"
WHERE "object"."digest"=ANY("lane"."objects"))
LIMIT %(limit)s::integer
FOR UPDATE SKIP LOCKED)
DELETE
FROM "goque"."object" USING "old"
WHERE "object"."digest"="old"."digest" AND "object"."key_id"="old"."key_id"
RETURNING "object"."digest"

-- takes digest text, key_id text
-- gives digest text
UPDATE "goque"."object" SET "keep_s"=NULL::double precision
WHERE "object"."digest"=%(digest)s::text AND "object"."key_id"=%(key_id)s::text AND NOT EXISTS (SELECT "object_name"."name"
FROM "goque"."object_name"
WHERE "object_name"."digest"="object"."digest" AND "object_name"."key_id"="object"."key_id")
RETURNING "object"."digest"

-- takes digest text, keep_s double precision, key_id text
-- gives digest text
UPDATE "goque"."object" SET "keep_s"=%(keep_s)s::double precision
WHERE "object"."digest"=%(digest)s::text AND "object"."key_id"=%(key_id)s::text
RETURNING "object"."digest"

-- takes digest text, key_id text, number integer
-- gives data bytea
SELECT "object_part"."data"
FROM "goque"."object_part"
WHERE "object_part"."digest"=%(digest)s::text AND "object_part"."key_id"=%(key_id)s::text AND "object_part"."number"=%(number)s::integer

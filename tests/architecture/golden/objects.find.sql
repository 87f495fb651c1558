-- takes digest text
-- gives digest text, key_id text, parts integer, seal bytea
SELECT "object"."digest","object"."key_id","object"."parts","object"."seal"
FROM "goque"."object"
WHERE "object"."digest"=%(digest)s::text

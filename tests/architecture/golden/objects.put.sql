-- takes digest text, key_id text, owner text, parts integer, seal bytea, size bigint, type text
-- gives digest text
INSERT INTO "goque"."object" ("digest","key_id","owner","type","size","parts","seal") VALUES (%(digest)s::text,%(key_id)s::text,%(owner)s::text,%(type)s::text,%(size)s::bigint,%(parts)s::integer,%(seal)s::bytea)
ON CONFLICT ("digest", "key_id") DO NOTHING
RETURNING "object"."digest"

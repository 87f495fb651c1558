-- takes digest text, key_id text, name text, owner text, seal bytea
-- gives digest text
INSERT INTO "goque"."object_name" ("owner","name","digest","key_id","seal") VALUES (%(owner)s::text,%(name)s::text,%(digest)s::text,%(key_id)s::text,%(seal)s::bytea)
ON CONFLICT ("owner", "name") DO UPDATE SET "digest"="excluded"."digest","key_id"="excluded"."key_id","seal"="excluded"."seal","changed_at"=NOW()
RETURNING "object_name"."digest"

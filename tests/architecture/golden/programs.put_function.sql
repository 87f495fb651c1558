-- takes code bytea, filename text, first_line integer, hash text, key_id text, name text, python text, source text, source_key text
-- gives id bigint, code bytea
INSERT INTO "goque"."function" ("hash","key_id","name","python","source_key","source","filename","first_line","code") VALUES (%(hash)s::text,%(key_id)s::text,%(name)s::text,%(python)s::text,%(source_key)s::text,%(source)s::text,%(filename)s::text,%(first_line)s::integer,%(code)s::bytea)
ON CONFLICT ("hash", "key_id") DO UPDATE SET "last_used_at"=NOW()
RETURNING "function"."id","function"."code"

-- takes batch_id bigint, cwd text, digest text, function_id bigint, keep_s double precision, key_ids text[], max_attempts smallint, objects text[], owner text, policy bytea, priority integer, python text, queue text, seal bytea, tags text[], timeout_s double precision, traceparent text, type text
-- gives id bigint
INSERT INTO "goque"."lane" ("digest","batch_id","queue","priority","type","function_id","python","tags","key_ids","objects","seal","policy","max_attempts","timeout_s","keep_s","cwd","owner","traceparent") VALUES (%(digest)s::text,%(batch_id)s::bigint,%(queue)s::text,%(priority)s::integer,%(type)s::text,%(function_id)s::bigint,%(python)s::text,%(tags)s::text[],%(key_ids)s::text[],%(objects)s::text[],%(seal)s::bytea,%(policy)s::bytea,%(max_attempts)s::smallint,%(timeout_s)s::double precision,%(keep_s)s::double precision,%(cwd)s::text,%(owner)s::text,%(traceparent)s::text)
ON CONFLICT ("digest")
WHERE "lane"."batch_id" IS NULL DO UPDATE SET "last_used_at"=NOW()
RETURNING "lane"."id"

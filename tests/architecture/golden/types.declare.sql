-- takes keep_s double precision, max_attempts smallint, name text, priority integer, queue text, tags text[], timeout_s double precision
-- gives name text
INSERT INTO "goque"."task_type" ("name","queue","priority","max_attempts","timeout_s","keep_s","tags") VALUES (%(name)s::text,%(queue)s::text,%(priority)s::integer,%(max_attempts)s::smallint,%(timeout_s)s::double precision,%(keep_s)s::double precision,%(tags)s::text[])
ON CONFLICT ("name") DO UPDATE SET "queue"="excluded"."queue","priority"="excluded"."priority","max_attempts"="excluded"."max_attempts","timeout_s"="excluded"."timeout_s","keep_s"="excluded"."keep_s","tags"="excluded"."tags","declared_at"=NOW()
RETURNING "task_type"."name"

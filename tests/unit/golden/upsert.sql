-- takes id bigint, host text, tags text[]
-- gives id bigint, missed integer
INSERT INTO "goque"."worker" ("id","host","missed","tags") VALUES (%(id)s::bigint,%(host)s::text,0,%(tags)s::text[]) ON CONFLICT ("id") DO UPDATE SET "host"="excluded"."host","missed"=GREATEST("worker"."missed"-1,0) WHERE "worker"."host"<>"excluded"."host" OR "worker"."missed">0 RETURNING "worker"."id","worker"."missed"

-- takes host text, key_ids text[], local boolean, owner text, pid integer, pool text, prefix text, python text, queues text[], slots integer, tags text[], types text[], version text
-- gives id bigint
INSERT INTO "goque"."worker" ("host","pid","python","prefix","version","owner","pool","slots","queues","tags","key_ids","types","local") VALUES (%(host)s::text,%(pid)s::integer,%(python)s::text,%(prefix)s::text,%(version)s::text,%(owner)s::text,%(pool)s::text,%(slots)s::integer,%(queues)s::text[],%(tags)s::text[],%(key_ids)s::text[],%(types)s::text[],%(local)s::boolean)
RETURNING "worker"."id"

-- takes data bytea, digest text, key_id text, number integer
-- gives number integer
INSERT INTO "goque"."object_part" ("digest","key_id","number","data") VALUES (%(digest)s::text,%(key_id)s::text,%(number)s::integer,%(data)s::bytea)
RETURNING "object_part"."number"

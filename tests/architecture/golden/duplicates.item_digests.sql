-- takes digests bytea, first bigint, id bigint
-- gives first bigint
INSERT INTO "goque"."batch_items" ("batch_id","first","digests") VALUES (%(id)s::bigint,%(first)s::bigint,%(digests)s::bytea)
RETURNING "batch_items"."first"

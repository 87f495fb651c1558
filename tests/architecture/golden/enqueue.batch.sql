-- takes environment jsonb, id bigint, keep_s double precision, kwargs bytea, metadata jsonb, name text, owner text, sameness text[], total bigint, type text
-- gives id bigint
INSERT INTO "goque"."batch" ("id","owner","name","total","type","kwargs","sameness","environment","metadata","keep_s") VALUES (%(id)s::bigint,%(owner)s::text,%(name)s::text,%(total)s::bigint,%(type)s::text,%(kwargs)s::bytea,%(sameness)s::text[],%(environment)s::jsonb,%(metadata)s::jsonb,%(keep_s)s::double precision)
RETURNING "batch"."id"

-- takes id bigint
-- gives id bigint, owner text, name text, created_at timestamptz, total bigint, type text, sameness text[], environment jsonb, metadata jsonb, keep_s double precision, canceled_at timestamptz, cancel_reason text, paused boolean
SELECT "batch"."id","batch"."owner","batch"."name","batch"."created_at","batch"."total","batch"."type","batch"."sameness","batch"."environment","batch"."metadata","batch"."keep_s","batch"."canceled_at","batch"."cancel_reason","batch"."paused"
FROM "goque"."batch"
WHERE "batch"."id"=%(id)s::bigint

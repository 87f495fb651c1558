-- takes lanes bigint[]
-- gives id bigint
UPDATE "goque"."lane" SET "last_used_at"=NOW()
WHERE "lane"."id"=ANY(%(lanes)s::bigint[])
RETURNING "lane"."id"

-- takes lanes bigint[], seconds double precision
-- gives id bigint
UPDATE "goque"."lane" SET "watched_until"=NOW()+MAKE_INTERVAL(secs => %(seconds)s::double precision)
WHERE "lane"."id"=ANY(%(lanes)s::bigint[])
RETURNING "lane"."id"

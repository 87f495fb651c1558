-- takes digests text[]
-- gives digest text
UPDATE "goque"."object" SET "last_used_at"=NOW()
WHERE "object"."digest"=ANY(%(digests)s::text[])
RETURNING "object"."digest"

-- takes worker bigint
-- gives id bigint
UPDATE "goque"."worker" SET "ended_at"=NOW(),"running"=0,"buffered"=0
WHERE "worker"."id"=%(worker)s::bigint AND "worker"."ended_at" IS NULL
RETURNING "worker"."id"

-- takes buffered integer, running integer, worker bigint
-- gives id bigint
UPDATE "goque"."worker" SET "missed"=0,"beat_at"=NOW(),"running"=%(running)s::integer,"buffered"=%(buffered)s::integer
WHERE "worker"."id"=%(worker)s::bigint AND "worker"."lost_at" IS NULL AND "worker"."ended_at" IS NULL
RETURNING "worker"."id"

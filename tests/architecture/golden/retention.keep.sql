-- takes batches double precision, change_batches boolean, change_done boolean, change_failed boolean, done double precision, failed double precision, name text
-- gives name text
INSERT INTO "goque"."queue" ("name","keep_done_s","keep_failed_s","keep_batches_s") VALUES (%(name)s::text,%(done)s::double precision,%(failed)s::double precision,%(batches)s::double precision)
ON CONFLICT ("name") DO UPDATE SET "keep_done_s"=CASE WHEN %(change_done)s::boolean THEN "excluded"."keep_done_s" ELSE "queue"."keep_done_s" END,"keep_failed_s"=CASE WHEN %(change_failed)s::boolean THEN "excluded"."keep_failed_s" ELSE "queue"."keep_failed_s" END,"keep_batches_s"=CASE WHEN %(change_batches)s::boolean THEN "excluded"."keep_batches_s" ELSE "queue"."keep_batches_s" END
RETURNING "queue"."name"

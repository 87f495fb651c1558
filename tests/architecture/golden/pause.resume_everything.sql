-- takes 
-- gives name text
UPDATE "goque"."queue" SET "paused"=FALSE
WHERE "queue"."paused"
RETURNING "queue"."name"

-- takes checkpoints bytea[], ids bigint[], logs text[], progress jsonb[], runs bigint[], worker bigint
-- gives id bigint
WITH "locked" AS MATERIALIZED (SELECT "row"."id","report"."progress","report"."checkpoint","report"."log"
FROM UNNEST(%(ids)s::bigint[],%(runs)s::bigint[],%(progress)s::jsonb[],%(checkpoints)s::bytea[],%(logs)s::text[]) AS "report"("id","run","progress","checkpoint","log")
CROSS JOIN LATERAL (SELECT "task"."id"
FROM "goque"."task"
WHERE "task"."id"="report"."id" AND "task"."run"="report"."run" AND "task"."worker_id"=%(worker)s::bigint AND "task"."seq"<0
FOR UPDATE SKIP LOCKED) "row")
UPDATE "goque"."task" SET "progress"=COALESCE("locked"."progress","task"."progress"),"checkpoint"=COALESCE("locked"."checkpoint","task"."checkpoint"),"handbacks"=CASE WHEN "locked"."checkpoint" IS NOT NULL THEN 0 ELSE "task"."handbacks" END::smallint,"log"=COALESCE("locked"."log","task"."log")
FROM "locked"
WHERE "task"."id"="locked"."id"
RETURNING "task"."id"

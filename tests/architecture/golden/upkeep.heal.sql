-- takes claims integer, message text
-- gives id bigint, after text
WITH "claims" AS MATERIALIZED (SELECT "claim"."worker_id","claim"."number","claim"."task_ids"
FROM "goque"."claim"
WHERE EXISTS (SELECT "worker"."id"
FROM "goque"."worker"
WHERE "worker"."id"="claim"."worker_id" AND ("worker"."lost_at" IS NOT NULL OR "worker"."ended_at" IS NOT NULL))
LIMIT %(claims)s::integer
FOR UPDATE SKIP LOCKED),
"locked" AS MATERIALIZED (SELECT "row"."id","row"."lane_id","row"."run","row"."before","row"."started_at","row"."external_id","claims"."worker_id",CASE WHEN "row"."before"='processing' THEN "row"."attempts"+1 ELSE "row"."attempts"+0 END "attempts","row"."losses"+1 "losses",CASE WHEN "row"."before"='canceled' THEN 'canceled' WHEN ("row"."before"='processing' AND "row"."max_attempts"<=CASE WHEN "row"."before"='processing' THEN "row"."attempts"+1 ELSE "row"."attempts"+0 END) OR ("row"."losses"+1)>=5 THEN 'attempts_left' WHEN "row"."before"='processing' THEN 'error' ELSE "row"."before" END "after",CASE WHEN "row"."before"='processing' THEN 'lost' ELSE 'lost_unknown' END "outcome"
FROM "claims"
CROSS JOIN LATERAL (SELECT "member"."id"
FROM UNNEST("claims"."task_ids") AS "member"("id")) "member"
CROSS JOIN LATERAL (SELECT "task"."id","task"."lane_id","task"."run","task"."status" "before","task"."attempts","task"."max_attempts","task"."losses","task"."started_at","task"."external_id"
FROM "goque"."task"
WHERE "task"."id"="member"."id" AND "task"."worker_id"="claims"."worker_id" AND "task"."seq"<0 AND "task"."status" IN ('error','new','pending','processing','canceled')
FOR UPDATE SKIP LOCKED) "row"),
"healed" AS (UPDATE "goque"."task" SET "status"="locked"."after","attempts"="locked"."attempts"::smallint,"losses"="locked"."losses"::smallint,"seq"=CASE WHEN "locked"."after" IN ('new','error') THEN (DATE_PART('epoch', CLOCK_TIMESTAMP())*1000000)::bigint ELSE NULL::bigint END,"worker_id"=NULL::bigint,"started_at"=NULL::timestamptz,"finished_at"=CASE WHEN "locked"."after"='attempts_left' THEN NOW() WHEN "locked"."after" IN ('new','error') THEN NULL::timestamptz ELSE "task"."finished_at" END,"log"=NULL::text
FROM "locked"
WHERE "task"."id"="locked"."id"
RETURNING "task"."id","task"."lane_id","locked"."before","task"."status" "after","task"."external_id"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "healed"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("healed"."after"='new'))-COUNT(*) FILTER (WHERE ("healed"."before"='new')) "n_new",COUNT(*) FILTER (WHERE ("healed"."after"='pending'))-COUNT(*) FILTER (WHERE ("healed"."before"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("healed"."after"='processing'))-COUNT(*) FILTER (WHERE ("healed"."before"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("healed"."after"='done'))-COUNT(*) FILTER (WHERE ("healed"."before"='done')) "n_done",COUNT(*) FILTER (WHERE ("healed"."after"='error'))-COUNT(*) FILTER (WHERE ("healed"."before"='error')) "n_error",COUNT(*) FILTER (WHERE ("healed"."after"='attempts_left'))-COUNT(*) FILTER (WHERE ("healed"."before"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("healed"."after"='canceled'))-COUNT(*) FILTER (WHERE ("healed"."before"='canceled')) "n_canceled"
FROM "healed"
GROUP BY 1
RETURNING "tally"."lane_id"),
"recorded" AS (INSERT INTO "goque"."run" ("task_id","run","worker_id","attempt","status","outcome","started_at","error") SELECT "locked"."id","locked"."run","locked"."worker_id",CASE WHEN "locked"."outcome"='lost' THEN "locked"."attempts" ELSE "locked"."attempts"+1 END::smallint "attempt",CASE WHEN "locked"."before"='canceled' THEN 'canceled' WHEN "locked"."outcome"='lost' THEN 'error' ELSE 'pending' END "status",CASE WHEN "locked"."before"='canceled' THEN 'canceled' ELSE "locked"."outcome" END "outcome","locked"."started_at",%(message)s::text "error"
FROM "locked"
ON CONFLICT ("task_id", "run") DO NOTHING
RETURNING "run"."task_id"),
"freed" AS (DELETE
FROM "goque"."external_id" USING "healed"
WHERE "external_id"."task_id"="healed"."id" AND "healed"."external_id" IS NOT NULL AND "healed"."after"='attempts_left'
RETURNING "external_id"."task_id")
SELECT "healed"."id","healed"."after"
FROM "healed"

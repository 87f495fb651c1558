-- takes key text, lanes bigint[], last_ats timestamptz[], names text[], next_ats timestamptz[], revisions bigint[], slot_names text[], slots timestamptz[]
-- gives name text
WITH "locked" AS MATERIALIZED (SELECT "schedule"."name","schedule"."payload","step"."last_at","step"."next_at"
FROM UNNEST(%(names)s::text[],%(revisions)s::bigint[],%(last_ats)s::timestamptz[],%(next_ats)s::timestamptz[]) AS "step"("name","revision","last_at","next_at")
JOIN "goque"."schedule" ON "schedule"."name"="step"."name" AND "schedule"."revision"="step"."revision"
FOR UPDATE OF "schedule" SKIP LOCKED),
"moved" AS (UPDATE "goque"."schedule" SET "next_at"="locked"."next_at","last_at"=COALESCE("locked"."last_at","schedule"."last_at"),"revision"="schedule"."revision"+1
FROM "locked"
WHERE "schedule"."name"="locked"."name"
RETURNING "schedule"."name"),
"stored" AS (INSERT INTO "goque"."task" ("lane_id","seq","max_attempts","payload","metadata","slot") SELECT "slot"."lane_id",(DATE_PART('epoch', NOW())*1000000)::bigint+"slot"."place" "seq","lane"."max_attempts","locked"."payload",JSONB_BUILD_OBJECT(%(key)s::text,"locked"."name") "metadata","slot"."at"
FROM UNNEST(%(slot_names)s::text[],%(lanes)s::bigint[],%(slots)s::timestamptz[]) WITH ORDINALITY AS "slot"("name","lane_id","at","place")
JOIN "locked" ON "locked"."name"="slot"."name"
JOIN "goque"."lane" ON "lane"."id"="slot"."lane_id"
RETURNING "task"."lane_id","task"."status"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "stored"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("stored"."status"='new')) "n_new",COUNT(*) FILTER (WHERE ("stored"."status"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("stored"."status"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("stored"."status"='done')) "n_done",COUNT(*) FILTER (WHERE ("stored"."status"='error')) "n_error",COUNT(*) FILTER (WHERE ("stored"."status"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("stored"."status"='canceled')) "n_canceled"
FROM "stored"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "moved"."name"
FROM "moved"

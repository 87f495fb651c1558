-- takes args bytea[], delays double precision[], expires double precision[], expires_ats timestamptz[], external_ids text[], ids bigint[], lanes bigint[], max_attempts smallint[], metadata jsonb[], parents bigint[], payloads jsonb[], run_ats timestamptz[], runs bigint[], traceparents text[], worker bigint
-- gives id bigint, lane_id bigint
WITH "taken" AS (INSERT INTO "goque"."external_id" ("type","external_id","task_id") SELECT "lane"."type","rows"."external_id" "external_id","rows"."id"
FROM UNNEST(%(ids)s::bigint[],%(lanes)s::bigint[],%(args)s::bytea[],%(payloads)s::jsonb[],%(max_attempts)s::smallint[],%(delays)s::double precision[],%(run_ats)s::timestamptz[],%(expires)s::double precision[],%(expires_ats)s::timestamptz[],%(external_ids)s::text[],%(metadata)s::jsonb[],%(traceparents)s::text[],%(parents)s::bigint[],%(runs)s::bigint[]) AS "rows"("id","lane_id","args","payload","max_attempts","delay","run_at","expires","expires_at","external_id","metadata","traceparent","parent","run")
JOIN "goque"."lane" ON "lane"."id"="rows"."lane_id"
JOIN "goque"."task" "parent" ON "parent"."id"="rows"."parent"
WHERE "parent"."run"="rows"."run" AND "parent"."worker_id"=%(worker)s::bigint AND "parent"."status"='done' AND "rows"."external_id" IS NOT NULL
ORDER BY "rows"."external_id","lane"."type"
ON CONFLICT ("type", "external_id") DO NOTHING
RETURNING "external_id"."task_id"),
"stored" AS (INSERT INTO "goque"."task" ("id","lane_id","status","seq","run_at","max_attempts","expires_at","external_id","metadata","args","payload","traceparent") SELECT "rows"."id","rows"."lane_id",CASE WHEN "rows"."delay" IS NULL AND "rows"."run_at" IS NULL THEN 'new' ELSE 'pending' END "status",CASE WHEN "rows"."delay" IS NULL AND "rows"."run_at" IS NULL THEN (DATE_PART('epoch', CLOCK_TIMESTAMP())*1000000)::bigint ELSE NULL::bigint END "seq",COALESCE("rows"."run_at",NOW()+MAKE_INTERVAL(secs => "rows"."delay")) "run_at","rows"."max_attempts",COALESCE("rows"."expires_at",NOW()+MAKE_INTERVAL(secs => "rows"."expires")) "expires_at","rows"."external_id","rows"."metadata","rows"."args","rows"."payload","rows"."traceparent"
FROM UNNEST(%(ids)s::bigint[],%(lanes)s::bigint[],%(args)s::bytea[],%(payloads)s::jsonb[],%(max_attempts)s::smallint[],%(delays)s::double precision[],%(run_ats)s::timestamptz[],%(expires)s::double precision[],%(expires_ats)s::timestamptz[],%(external_ids)s::text[],%(metadata)s::jsonb[],%(traceparents)s::text[],%(parents)s::bigint[],%(runs)s::bigint[]) AS "rows"("id","lane_id","args","payload","max_attempts","delay","run_at","expires","expires_at","external_id","metadata","traceparent","parent","run")
JOIN "goque"."task" "parent" ON "parent"."id"="rows"."parent"
WHERE "parent"."run"="rows"."run" AND "parent"."worker_id"=%(worker)s::bigint AND "parent"."status"='done' AND ("rows"."external_id" IS NULL OR "rows"."id" IN (SELECT "taken"."task_id"
FROM "taken"))
ON CONFLICT ("id") DO NOTHING
RETURNING "task"."id","task"."lane_id","task"."status"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "stored"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("stored"."status"='new')) "n_new",COUNT(*) FILTER (WHERE ("stored"."status"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("stored"."status"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("stored"."status"='done')) "n_done",COUNT(*) FILTER (WHERE ("stored"."status"='error')) "n_error",COUNT(*) FILTER (WHERE ("stored"."status"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("stored"."status"='canceled')) "n_canceled"
FROM "stored"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "stored"."id","stored"."lane_id"
FROM "stored"

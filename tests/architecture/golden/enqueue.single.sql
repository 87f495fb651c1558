-- takes args bytea, delay double precision, expires double precision, expires_at timestamptz, external_id text, id bigint, lane bigint, max_attempts smallint, metadata jsonb, payload jsonb, run_at timestamptz, traceparent text
-- gives id bigint
WITH "stored" AS (INSERT INTO "goque"."task" ("id","lane_id","status","seq","run_at","max_attempts","expires_at","external_id","metadata","args","payload","traceparent") SELECT "rows"."id","rows"."lane_id",CASE WHEN "rows"."delay" IS NULL AND "rows"."run_at" IS NULL THEN 'new' ELSE 'pending' END "status",CASE WHEN "rows"."delay" IS NULL AND "rows"."run_at" IS NULL THEN (DATE_PART('epoch', CLOCK_TIMESTAMP())*1000000)::bigint ELSE NULL::bigint END "seq",COALESCE("rows"."run_at",NOW()+MAKE_INTERVAL(secs => "rows"."delay")) "run_at","rows"."max_attempts",COALESCE("rows"."expires_at",NOW()+MAKE_INTERVAL(secs => "rows"."expires")) "expires_at","rows"."external_id","rows"."metadata","rows"."args","rows"."payload","rows"."traceparent"
FROM (SELECT %(id)s::bigint "id",%(lane)s::bigint "lane_id",%(args)s::bytea "args",%(payload)s::jsonb "payload",%(max_attempts)s::smallint "max_attempts",%(delay)s::double precision "delay",%(run_at)s::timestamptz "run_at",%(expires)s::double precision "expires",%(expires_at)s::timestamptz "expires_at",%(external_id)s::text "external_id",%(metadata)s::jsonb "metadata",%(traceparent)s::text "traceparent") "rows"
RETURNING "task"."id","task"."lane_id","task"."status"),
"counted" AS (INSERT INTO "goque"."tally" ("lane_id","new","pending","processing","done","error","attempts_left","canceled") SELECT "stored"."lane_id" "lane_id",COUNT(*) FILTER (WHERE ("stored"."status"='new')) "n_new",COUNT(*) FILTER (WHERE ("stored"."status"='pending')) "n_pending",COUNT(*) FILTER (WHERE ("stored"."status"='processing')) "n_processing",COUNT(*) FILTER (WHERE ("stored"."status"='done')) "n_done",COUNT(*) FILTER (WHERE ("stored"."status"='error')) "n_error",COUNT(*) FILTER (WHERE ("stored"."status"='attempts_left')) "n_attempts_left",COUNT(*) FILTER (WHERE ("stored"."status"='canceled')) "n_canceled"
FROM "stored"
GROUP BY 1
RETURNING "tally"."lane_id")
SELECT "stored"."id"
FROM "stored"

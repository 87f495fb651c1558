-- takes id bigint
-- gives id bigint, lane_id bigint, status text, seq bigint, run_at timestamptz, worker_id bigint, run integer, attempts smallint, max_attempts smallint, losses smallint, created_at timestamptz, started_at timestamptz, finished_at timestamptz, same_as bigint, external_id text, metadata jsonb, progress jsonb, log text, reason text, queue text, type text, python text, tags text[], key_ids text[], lacking text, hash text, host text
SELECT "task"."id","task"."lane_id","task"."status","task"."seq","task"."run_at","task"."worker_id","task"."run","task"."attempts","task"."max_attempts","task"."losses","task"."created_at","task"."started_at","task"."finished_at","task"."same_as","task"."external_id","task"."metadata","task"."progress","task"."log","task"."reason","lane"."queue","lane"."type","lane"."python","lane"."tags","lane"."key_ids","lane"."lacking","function"."hash" "hash","worker"."host" "host"
FROM "goque"."task"
JOIN "goque"."lane" ON "lane"."id"="task"."lane_id"
LEFT JOIN "goque"."function" ON "function"."id"="lane"."function_id"
LEFT JOIN "goque"."worker" ON "worker"."id"="task"."worker_id"
WHERE "task"."id"=%(id)s::bigint

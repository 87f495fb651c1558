-- takes lane bigint, seq bigint, type text
-- gives id bigint
INSERT INTO "goque"."task" ("id","lane_id","seq","status","type","run","attempts","args") VALUES (NEXTVAL('"goque"."task_id"'::regclass),%(lane)s::bigint,%(seq)s::bigint,%(p1)s::text,%(type)s::text,%(p2)s::integer,%(p3)s::smallint,NULL::bytea) ON CONFLICT ("lane_id", "type") WHERE "task"."status" IN ('new','done') DO NOTHING RETURNING "task"."id"

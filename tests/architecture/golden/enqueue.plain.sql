-- takes args bytea, id bigint, lane bigint, max_attempts smallint
-- gives 
WITH "counted" AS (INSERT INTO "goque"."tally" ("lane_id","new") VALUES (%(lane)s::bigint,1)
RETURNING "tally"."lane_id")
INSERT INTO "goque"."task" ("id","lane_id","status","seq","max_attempts","args") VALUES (%(id)s::bigint,%(lane)s::bigint,'new',(DATE_PART('epoch', CLOCK_TIMESTAMP())*1000000)::bigint,%(max_attempts)s::smallint,%(args)s::bytea)

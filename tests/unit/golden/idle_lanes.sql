-- takes 
-- gives id bigint, minutes double precision
SELECT DISTINCT ON("lane"."queue") "lane"."id",DATE_PART('epoch', NOW())/%(p1)s::double precision "minutes" FROM "goque"."lane" WHERE NOT EXISTS (SELECT "task"."id" FROM "goque"."task" WHERE "task"."lane_id"="lane"."id") ORDER BY "lane"."queue","lane"."id"

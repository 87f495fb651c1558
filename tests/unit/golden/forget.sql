-- takes queue text
-- gives 
DELETE FROM "goque"."task" USING "goque"."lane" WHERE "lane"."id"="task"."lane_id" AND "lane"."queue"=%(queue)s::text

-- takes 
-- gives id bigint, n bigint
SELECT "lane"."id","busy"."n" FROM "goque"."lane",LATERAL (SELECT COUNT(*) "n" FROM "goque"."task" WHERE "task"."lane_id"="lane"."id") "busy" WHERE "busy"."n"=0 AND NOT "lane"."paused" FOR UPDATE OF "lane" SKIP LOCKED

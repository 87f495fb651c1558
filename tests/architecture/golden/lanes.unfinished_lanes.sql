-- takes owner text
-- gives id bigint
SELECT "lane"."id"
FROM "goque"."lane"
JOIN "goque"."tally" ON "tally"."lane_id"="lane"."id"
WHERE "lane"."owner"=%(owner)s::text
GROUP BY "lane"."id"
HAVING COALESCE(SUM((("tally"."new"+"tally"."pending")+"tally"."processing")+"tally"."error")::bigint,0)>0

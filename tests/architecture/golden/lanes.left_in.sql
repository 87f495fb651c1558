-- takes lanes bigint[]
-- gives left_over bigint
SELECT COALESCE(SUM((("tally"."new"+"tally"."pending")+"tally"."processing")+"tally"."error")::bigint,0) "left_over"
FROM "goque"."tally"
WHERE "tally"."lane_id"=ANY(%(lanes)s::bigint[])

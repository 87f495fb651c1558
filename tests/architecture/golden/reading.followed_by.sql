-- takes first bigint, last bigint
-- gives input_id bigint
SELECT "dependency"."input_id"
FROM "goque"."dependency"
WHERE "dependency"."dependant_id">=%(first)s::bigint AND "dependency"."dependant_id"<=%(last)s::bigint

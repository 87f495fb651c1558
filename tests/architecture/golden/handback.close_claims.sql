-- takes numbers bigint[], worker bigint
-- gives number bigint
DELETE
FROM "goque"."claim"
WHERE "claim"."worker_id"=%(worker)s::bigint AND "claim"."number"=ANY(%(numbers)s::bigint[])
RETURNING "claim"."number"

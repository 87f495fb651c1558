-- takes worker bigint
-- gives number bigint
DELETE
FROM "goque"."claim"
WHERE "claim"."worker_id"=%(worker)s::bigint
RETURNING "claim"."number"

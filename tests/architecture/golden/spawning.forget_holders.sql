-- takes external_ids text[], lanes bigint[]
-- gives task_id bigint
DELETE
FROM "goque"."external_id" USING UNNEST(%(lanes)s::bigint[],%(external_ids)s::text[]) AS "wanted"("lane","external_id"),"goque"."lane","goque"."deleted_batch"
WHERE "lane"."id"="wanted"."lane" AND "external_id"."type"="lane"."type" AND "external_id"."external_id"="wanted"."external_id" AND "deleted_batch"."id"=("external_id"."task_id"/1000000000)
RETURNING "external_id"."task_id"

-- takes limit integer
-- gives 
WITH "gone" AS (DELETE FROM "goque"."batch_delta" WHERE "batch_delta"."batch_id" IN (SELECT "batch_delta"."batch_id" FROM "goque"."batch_delta" LIMIT %(limit)s::integer FOR UPDATE SKIP LOCKED) RETURNING "batch_delta"."batch_id","batch_delta"."new","batch_delta"."done")
INSERT INTO "goque"."batch_delta" ("batch_id","new","done") SELECT "gone"."batch_id",SUM("gone"."new")::bigint "new",SUM("gone"."done")::bigint "done" FROM "gone" GROUP BY "gone"."batch_id"

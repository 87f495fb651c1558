-- takes name text, owner text
-- gives digest text, key_id text, size bigint, type text, seal bytea
SELECT "object"."digest","object"."key_id","object"."size","object"."type","object_name"."seal"
FROM "goque"."object_name"
JOIN "goque"."object" ON "object"."digest"="object_name"."digest" AND "object"."key_id"="object_name"."key_id"
WHERE "object_name"."owner"=%(owner)s::text AND "object_name"."name"=%(name)s::text

-- takes anew boolean, app text, digest text, version bigint
-- gives seen_at timestamptz
INSERT INTO "goque"."deployment" ("app","digest","version") VALUES (%(app)s::text,%(digest)s::text,%(version)s::bigint)
ON CONFLICT ("app", "digest") DO UPDATE SET "seen_at"=CASE WHEN %(anew)s::boolean THEN "excluded"."seen_at" ELSE "deployment"."seen_at" END
RETURNING "deployment"."seen_at"

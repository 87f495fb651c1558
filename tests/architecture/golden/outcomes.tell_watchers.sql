-- takes channel text, lanes bigint[]
-- gives pg_notify void
SELECT PG_NOTIFY(%(channel)s::text,'done:'::text || "lane"."id"::text) "pg_notify"
FROM UNNEST(%(lanes)s::bigint[]) AS "wanted"("id")
JOIN "goque"."lane" ON "lane"."id"="wanted"."id"
WHERE "lane"."watched_until">NOW()

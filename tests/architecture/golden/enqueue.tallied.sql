-- takes lane bigint, new bigint, pending bigint
-- gives lane_id bigint
INSERT INTO "goque"."tally" ("lane_id","new","pending") VALUES (%(lane)s::bigint,%(new)s::bigint,%(pending)s::bigint)
RETURNING "tally"."lane_id"

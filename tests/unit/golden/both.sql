-- takes limit bigint
-- gives id bigint, held boolean
(SELECT "task"."id",TRUE "held" FROM "goque"."task" WHERE "task"."seq"<0) UNION ALL (SELECT "task"."id",FALSE "held" FROM "goque"."task" WHERE "task"."seq">0) ORDER BY "held",1 LIMIT %(limit)s::bigint

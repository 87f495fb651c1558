-- takes length text, name text
-- gives length text
SELECT SET_CONFIG(%(name)s::text,%(length)s::text,TRUE) "length"

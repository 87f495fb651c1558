"""Everything that touches a connection to PostgreSQL. Not for: the SQL itself, which lives in ``goque.queries``.

This is the only room that imports psycopg. Callers import from its modules (``database``, ``notifications``,
``migrations``, ``embedded``), so that nothing is loaded before it is needed.
"""

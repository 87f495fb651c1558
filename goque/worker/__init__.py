"""The worker's main process, where it knows the database: claiming, holding, writing outcomes. Not for: SQL.

The rooms below know no database: ``pool`` and ``child``, which are the two sides of a pipe, ``task``, ``channel``.
"""

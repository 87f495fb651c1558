"""What happened, as DataFrames of fixed dtypes. Not for: the SQL (``queries.looking``), or showing it (``notebook``).

Importing this room does not load pandas; calling a function of ``frames`` does.
"""

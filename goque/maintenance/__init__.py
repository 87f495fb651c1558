"""Duties that every worker shares and one does at a time. Not for: running tasks (``worker``)."""

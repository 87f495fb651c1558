"""Duties that every worker does for all, in small steps that pass over what another has locked.

Not for: running tasks (``worker``).
"""

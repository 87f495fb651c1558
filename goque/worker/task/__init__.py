"""What the code of users meets while it runs in a child. Not for: anything that may move.

Pickled functions name these modules, so a task that was given before an upgrade runs after it only if they stay.
"""

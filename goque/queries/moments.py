"""The database's clock as the number that orders ready tasks. Not for: any other time."""

from __future__ import annotations

from goque.sql import BIGINT, Expression, clock_timestamp, epoch, lit

CHANNEL = "goque"
"""The notification channel; the schema is appended, so that two queues in one database do not wake each other."""


def ready_now() -> Expression[int]:
    """Microseconds since 1970: the ``seq`` of a task that becomes ready now."""
    return (epoch(clock_timestamp()) * lit(1_000_000)).cast(BIGINT)

"""What the parts say to each other: the clock that orders ready tasks, and the words of notifications."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from goque.sql import (
    BIGINT,
    Expression,
    Query,
    Statement,
    clock_timestamp,
    epoch,
    lit,
    scalar,
    select,
    template,
)


class Word(StrEnum):
    """How the payload of a notification begins."""

    WORK = "work:"
    """There is something to claim; the rest is the queue."""
    DONE = "done:"
    """Outcomes were written; the rest is the lane."""
    DUE = "due:"
    """Something waits for its time; look when the next task is due."""
    NOTHING = ""
    STOP = "stop:"
    """Something was canceled or paused; look at what you hold."""


def channel(schema: str) -> str:
    """The notification channel: one per schema, so that two queues in one database do not wake each other."""
    return f"goque_{schema}"[:63]


@template(read=scalar)
def _current() -> Query[Any]:
    return select(clock_timestamp().as_("now"))


def current() -> Statement[datetime]:
    """The time on the database's clock."""
    return _current.bind()


def ready_now() -> Expression[int]:
    """Microseconds since 1970: the ``seq`` of a task that becomes ready now."""
    return (epoch(clock_timestamp()) * lit(1_000_000)).cast(BIGINT)

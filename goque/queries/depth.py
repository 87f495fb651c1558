"""How much waits in each queue, for gauges that are read every few seconds. Not for: frames (``listing``)."""

from __future__ import annotations

from typing import Any, NamedTuple

from goque.model.states import Status
from goque.sql import Query, Statement, queues, select, template


class QueueDepth(NamedTuple):
    """A queue, and how many of its tasks are in each status."""

    name: str
    paused: bool
    oldest_ready_s: float | None
    """For how many seconds the task has been ready that is so for the longest; None where none is."""
    tasks: dict[Status, int]

    @classmethod
    def read(cls, row: tuple[Any, ...]) -> QueueDepth:
        """From a row of the statement."""
        return cls(row[0], row[1], row[2], dict(zip(Status, row[3:], strict=True)))


@template(read=QueueDepth.read)
def _depth() -> Query[Any]:
    counts = [getattr(queues, status.value) for status in Status]
    return select(queues.name, queues.paused, queues.oldest_ready_s, *counts).from_(queues)


def depth() -> Statement[QueueDepth]:
    """All queues. The counts come from sums; the cost grows with the number of lanes."""
    return _depth.bind()

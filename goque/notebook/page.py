"""What is to be seen of a whole queue at one moment, as data. Not for: showing it (``page_html``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from goque.model.states import FINAL

Row = Mapping[str, Any]
KEPT = 900
"""Looks that are remembered; at one in two seconds half an hour."""


@dataclass(frozen=True, slots=True)
class Series:
    """A number over time: seconds before now, and values; None where it could not be told."""

    title: str
    unit: str
    points: Sequence[tuple[float, float]] = ()

    @property
    def last(self) -> float | None:
        """The newest value."""
        return self.points[-1][1] if self.points else None


@dataclass(frozen=True, slots=True)
class Page:
    """A queue at one moment. Rows are those of the frames of the same names; ``note`` is what the user should know."""

    title: str
    at: datetime | None = None
    queues: Sequence[Row] = ()
    running: Sequence[Row] = ()
    workers: Sequence[Row] = ()
    batches: Sequence[Row] = ()
    schedules: Sequence[Row] = ()
    series: Sequence[Series] = ()
    note: str = ""

    @property
    def slots(self) -> tuple[int, int]:
        """Slots of living workers that run something, and all of them."""
        return sum(map(busy, self.workers)), sum(row["slots"] for row in self.workers)

    @property
    def unfinished(self) -> int:
        """Tasks that have not ended."""
        return sum(row[status] for row in self.queues for status in ("new", "pending", "processing", "error"))


def busy(worker: Row) -> int:
    """Slots of a worker that run something; more tasks than that may be with its children already."""
    return min(int(worker["running"]), int(worker["slots"]))


@dataclass(slots=True)
class Looks:
    """What earlier looks found: how many tasks had ended, and how old the oldest ready one was.

    Both come from counters, so that a look costs the same however many tasks there are.
    """

    _looks: deque[tuple[float, int, float]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def look(self, at: float, queues: Sequence[Row]) -> None:
        """These queues were seen at this moment (seconds, of a clock that does not jump)."""
        ended = sum(int(row[status]) for row in queues for status in FINAL)
        oldest = max((row["oldest_ready_s"] or 0.0 for row in queues), default=0.0)
        self._looks.append((at, ended, float(oldest)))

    def series(self) -> tuple[Series, Series]:
        """Tasks that ended per second, and seconds that the oldest ready task had waited."""
        now = self._looks[-1][0] if self._looks else 0.0
        looks = list(self._looks)
        # A retry and a cleaning lower the number of ended tasks; that is no pace.
        rates = [
            (now - later, max(0.0, (after - before) / (later - earlier)))
            for (earlier, before, _), (later, after, _) in pairwise(looks)
            if later > earlier
        ]
        return (
            Series("tasks that end", "/s", rates),
            Series("wait of the oldest ready task", "s", [(now - at, oldest) for at, _, oldest in looks]),
        )

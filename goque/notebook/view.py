"""What is to be seen of a batch at one moment, as data. Not for: showing it (``text``, ``html``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from goque.model.states import Status

WINDOW_S = 15.0
"""The pace is that of the last so many seconds, or of the last quarter of the time if that is longer."""
SHORTEST_S = 0.2
"""No pace is told from looks that lie closer together."""

SYMBOLS: Mapping[Status, str] = {
    Status.DONE: "✓",
    Status.PROCESSING: "▶",
    Status.NEW: "·",
    Status.PENDING: "◷",
    Status.ERROR: "↻",
    Status.ATTEMPTS_LEFT: "✗",
    Status.CANCELED: "⊘",
}
"""A mark for each status, so that none is told by its colour alone."""


@dataclass(frozen=True, slots=True)
class Running:
    """A task that runs: its place in the batch, for how many seconds, and what it says of its progress."""

    position: int
    seconds: float
    said: str = ""


@dataclass(frozen=True, slots=True)
class Failures:
    """Tasks that failed in one way: how many, what is common to their messages, where, and one of them as a sample."""

    number: int
    error_type: str
    message: str
    frame: str
    position: int
    traceback: str

    @property
    def title(self) -> str:
        """Type and message, in one line."""
        first, *rest = self.message.strip().splitlines() or [""]
        text = f"{self.error_type}: {first}" if first else self.error_type
        return text + (" …" if rest else "")


@dataclass(frozen=True, slots=True)
class View:
    """A batch at one moment. ``rate`` is tasks per second, ``eta`` and ``elapsed`` are seconds, None where unknown.

    ``note`` says what the user should know or do, such as why nothing happens; ``running`` are the tasks that have been
    running longest. ``workers`` and ``slots`` are those alive, None where nobody asked.
    """

    title: str
    total: int
    counts: Mapping[Status, int]
    elapsed: float | None = None
    rate: float | None = None
    eta: float | None = None
    note: str = ""
    paused: bool = False
    workers: int | None = None
    slots: int = 0
    running: Sequence[Running] = ()
    failures: Sequence[Failures] = ()

    @property
    def ended(self) -> int:
        """Tasks that are final."""
        return sum(number for status, number in self.counts.items() if status.final)

    @property
    def failed(self) -> int:
        """Tasks that failed for good."""
        return self.counts.get(Status.ATTEMPTS_LEFT, 0)

    @property
    def failing(self) -> int:
        """Tasks of which a run failed, those that will be tried again included."""
        return self.failed + self.counts.get(Status.ERROR, 0)

    @property
    def complete(self) -> bool:
        """Whether every task is final."""
        return self.ended >= self.total

    @property
    def fraction(self) -> float:
        """The part that has ended, from 0 to 1."""
        return min(1.0, self.ended / self.total) if self.total else 1.0

    @property
    def percent(self) -> int:
        """The part that has ended in whole percent; 100 only when all has."""
        return 100 if self.complete else int(self.fraction * 100)

    @property
    def present(self) -> list[tuple[Status, int]]:
        """The statuses that occur, in the order of ``Status``."""
        return [(status, number) for status in Status if (number := self.counts.get(status, 0))]


@dataclass(slots=True)
class Pace:
    """How fast tasks end, from looks at how many have. A pause or a stall lowers it; a retry begins anew."""

    _looks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=4_000))
    _began: float | None = None

    def look(self, at: float, ended: int) -> None:
        """``ended`` tasks were final at this moment (seconds, of a clock that does not jump)."""
        if self._began is None:
            self._began = at
        if self._looks and ended < self._looks[-1][1]:
            self._looks.clear()
        self._looks.append((at, ended))
        window = max(WINDOW_S, (at - self._began) / 4)
        # One look outside stays, so that the pace always covers the whole window.
        while len(self._looks) > 2 and at - self._looks[1][0] >= window:
            self._looks.popleft()

    @property
    def rate(self) -> float | None:
        """Tasks per second, None before anything can be said."""
        if len(self._looks) < 2:
            return None
        (began, before), (now, after) = self._looks[0], self._looks[-1]
        return (after - before) / (now - began) if now - began >= SHORTEST_S else None

    def eta(self, left: int) -> float | None:
        """Seconds until so many more have ended, None when that cannot be told."""
        rate = self.rate
        if left <= 0:
            return 0.0
        return left / rate if rate else None

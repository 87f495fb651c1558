"""One look after the other at a batch, each as a view. Not for: when to look, or how it is shown.

Counts are had at every look. What costs more is asked seldom, and so that it takes little of the time however long an
answer takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from goque.errors import DatabaseUnavailable
from goque.model.states import Status
from goque.notebook.view import Failures, Pace, Running, View

RUNNING_S, FAILURES_S, STUCK_S = 1.0, 5.0, 3.0
"""How often to ask at most what runs, what failed (somebody may be reading it), and why nothing happens."""
SHARE = 20
"""A question is not asked again before so many times of what its answer took have passed."""


class Glance(NamedTuple):
    """What one cheap statement tells of a batch. ``age`` is seconds since it was made, None where unknown."""

    counts: Mapping[Status, int]
    paused: bool = False
    age: float | None = None
    workers: int | None = None
    slots: int = 0


class Watched(Protocol):
    """What can be watched. Each method asks the database once or a few times."""

    @property
    def title(self) -> str: ...
    @property
    def total(self) -> int: ...
    def glance(self) -> Glance: ...
    def running(self) -> Sequence[Running]: ...
    def failures(self) -> Sequence[Failures]: ...
    def stuck(self) -> str | None: ...


class Watch:
    """Looks at a batch. Not for several threads at once."""

    def __init__(self, watched: Watched, clock: Callable[[], float] = time.monotonic) -> None:
        self.watched = watched
        self._clock = clock
        self._pace = Pace()
        self._began = clock()
        self._ended: float | None = None
        self._was_incomplete = False
        self._workers: int | None = None
        self._running = _Seldom(lambda: self.watched.running(), RUNNING_S, ())
        self._failures = _Seldom(lambda: self.watched.failures(), FAILURES_S, ())
        self._stuck = _Seldom(lambda: self.watched.stuck(), STUCK_S, None)
        self.view = View(watched.title, watched.total, {})

    def look(self) -> View:
        """The batch now; what was seen last, with a note, while the database cannot be reached."""
        now = self._clock()
        try:
            self.view = self._seen(now, self.watched.glance())
        except DatabaseUnavailable:
            last = self.view
            note = "the database cannot be reached; trying again"
            self.view = View(last.title, last.total, last.counts, note=note, failures=last.failures)
        return self.view

    def _seen(self, now: float, glance: Glance) -> View:
        # A batch may have been extended since it was made known here.
        total = sum(glance.counts.values())
        view = View(self.watched.title, total, glance.counts, paused=glance.paused)
        self._pace.look(now, view.ended)
        if view.counts != self.view.counts or glance.workers != self._workers:
            self._workers = glance.workers
            self._stuck.forget(now)
        many = view.complete or view.failing >= 2 * (self._failures.about or 0)
        found = self._failures.get(self._clock, view.failing, must=many) if view.failing else ()
        if view.complete:
            # How long it took is known to who saw it end.
            if self._was_incomplete and self._ended is None:
                self._ended = self._elapsed(now, glance)
            return View(view.title, view.total, view.counts, elapsed=self._ended, note=_advice(view), failures=found)
        self._was_incomplete, self._ended = True, None
        return View(
            view.title,
            view.total,
            view.counts,
            elapsed=self._elapsed(now, glance),
            rate=self._pace.rate,
            eta=None if view.paused else self._pace.eta(view.total - view.ended),
            note=self._stuck.get(self._clock) or "",
            paused=glance.paused,
            workers=glance.workers,
            slots=glance.slots,
            running=self._running.get(self._clock) if view.counts.get(Status.PROCESSING) else (),
            failures=found,
        )

    def _elapsed(self, now: float, glance: Glance) -> float:
        return now - self._began if glance.age is None else glance.age


def _advice(view: View) -> str:
    return "errors() groups the failures, retry() runs them again" if view.failed else ""


@dataclass(slots=True)
class _Seldom:
    """The last answer to a question that is asked again at most every so many seconds, and only about something new."""

    ask: Callable[[], Any]
    pause: float
    answer: Any
    due: float = float("-inf")
    about: Any = None

    def forget(self, now: float) -> None:
        """The answer is true no more; ask again when it is time."""
        self.answer, self.due = None, now + self.pause

    def get(self, clock: Callable[[], float], about: Any = None, *, must: bool = False) -> Any:
        """The answer; ``must``: not an old one about something else."""
        now = clock()
        if (about is None or about != self.about) and (must or now >= self.due):
            self.answer, self.about = self.ask(), about
            answered = clock()
            self.due = answered + max(self.pause, SHARE * (answered - now))
        return self.answer

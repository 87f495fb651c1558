"""Telling many about outcomes with one thread, started at first use. Not for: waiting in the caller (``waiting``)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from goque.client.spans import spans_of
from goque.client.waiting import Waiting
from goque.queries.outcomes import OutcomeRow

log = logging.getLogger("goque.client")

Call = Callable[[OutcomeRow], object]
REST_S = 1.0
"""Seconds of rest after the waiting failed."""


class Callbacks:
    """Calls back when tasks end. The thread lives while somebody is to be told."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._calls: dict[int, list[Call]] = {}
        self._lanes: set[int] = set()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        """Begin anew in a forked process: what the other one was to be told is not for us."""
        self._lock, self._changed = threading.Lock(), threading.Event()
        self._calls, self._lanes, self._thread = {}, set(), None

    def add(self, task: int, lane: int, call: Call) -> None:
        """Call ``call(outcome)`` once this task has ended."""
        with self._lock:
            self._calls.setdefault(task, []).append(call)
            self._lanes.add(lane)
            self._changed.set()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="goque-callbacks", daemon=True)
                self._thread.start()
        self._waiting.look_now()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._changed.clear()
                spans, lanes = spans_of(self._calls), tuple(self._lanes)
                if not spans:
                    self._thread = None
                    self._lanes.clear()
                    return
            try:
                for row in self._waiting.outcomes(spans, lambda known=lanes: known, stop=self._changed):  # type: ignore[misc]
                    self._tell(row)
            except Exception:
                log.exception("waiting on behalf of callbacks failed; trying again")
                self._changed.wait(REST_S)

    def _tell(self, row: OutcomeRow) -> None:
        with self._lock:
            calls = self._calls.pop(row.id, [])
        for call in calls:
            try:
                call(row)
            except Exception:
                log.exception("a callback of task %s failed", row.id)

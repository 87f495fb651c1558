"""Waiting for outcomes: who waits registers, reads, waits, and reads again. Not for: what was read (``decoding``).

A notification wakes the waiter early; whatever it hears, it looks again every second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from goque.client.collector import Collector
from goque.client.spans import Span
from goque.errors import DatabaseUnavailable
from goque.postgres.database import Database
from goque.postgres.notifications import Listener
from goque.queries import outcomes
from goque.queries.moments import Word, channel
from goque.queries.outcomes import OutcomeRow

WATCH_S = 60.0
"""Seconds for which a waiter asks to be notified; it asks again halfway."""
LOOK_S = 1.0
"""A waiter looks at least this often."""
PATIENCE_S = 120.0
"""Seconds for which a waiter bears a database that is away."""


class Waiting:
    """The ears of a queue: one connection that listens, shared by all who wait."""

    def __init__(self, database: Database, *, listen: bool) -> None:
        self._database = database
        self._listen = listen and not database.pooler
        self._news = threading.Condition()
        self._heard: dict[int, int] = {}
        self._heard_all = 0
        self._listener: Listener | None = None
        self._watched: dict[int, float] = {}

    def outcomes(
        self,
        spans: Sequence[Span],
        lanes: Callable[[], Iterable[int]],
        *,
        timeout: float | None = None,
        tick: Callable[[], None] = lambda: None,
        stop: threading.Event | None = None,
    ) -> Iterator[OutcomeRow]:
        """The outcomes of these tasks, as they come.

        ``lanes`` are those that the tasks are in; ``tick`` is called at every turn, about once a second or more often.

        Raises:
            TimeoutError: not all have ended within ``timeout`` seconds.
        """
        collector = Collector(self._database, spans)
        end = None if timeout is None else time.monotonic() + timeout
        away_since: float | None = None
        pause, cost = 0.002, 0.0
        while collector.outstanding and not (stop is not None and stop.is_set()):
            known = tuple(lanes())
            before = self._counter(known)
            try:
                self._watch(known)
                looked = time.monotonic()
                rows = collector.look()
                cost = time.monotonic() - looked
                away_since = None
            except DatabaseUnavailable:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_S:
                    raise
                rows = []
            yield from rows
            tick()
            if rows:
                pause = 0.002
            elif not collector.outstanding:
                break
            elif end is not None and time.monotonic() >= end:
                raise TimeoutError(f"{collector.outstanding:,} tasks have not ended after {timeout:g} s; they go on")
            else:
                longest = LOOK_S if self._listen else LOOK_S / 2
                left = longest if end is None else min(longest, max(0.0, end - time.monotonic()))
                # Looking may take a tenth of the time at most, however large the batch.
                self._wait(known, before, min(max(pause, 10 * cost), left))
                pause = min(pause * 2, longest)

    def after_fork(self) -> None:
        """Begin anew in a forked process, where nothing listens; the connection that did is not ours to close."""
        self._news = threading.Condition()
        self._listener = None
        self._watched = {}

    def look_now(self) -> None:
        """Have every waiter look at once, and see whether it was asked to stop."""
        self._on_gap()

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def _watch(self, lanes: Sequence[int]) -> None:
        """Ask workers to notify us of these lanes, unless we did so lately."""
        if not self._listen:
            return
        if self._listener is None:
            self._listener = Listener(
                self._database, [channel(self._database.schema)], self._on_notify, self._on_gap, name="ears"
            )
            self._listener.start()
        now = time.monotonic()
        stale = [lane for lane in lanes if self._watched.get(lane, 0.0) < now + WATCH_S / 2]
        if stale:
            self._database.run(outcomes.watch(stale, WATCH_S))
            self._watched.update(dict.fromkeys(stale, now + WATCH_S))

    def _counter(self, lanes: Sequence[int]) -> int:
        with self._news:
            return self._heard_all + sum(self._heard.get(lane, 0) for lane in lanes)

    def _wait(self, lanes: Sequence[int], before: int, seconds: float) -> None:
        """Wait for news of these lanes. Short waits at a time: an interrupt must not have to wait for us."""
        end = time.monotonic() + seconds
        with self._news:
            while self._heard_all + sum(self._heard.get(lane, 0) for lane in lanes) == before:
                left = end - time.monotonic()
                if left <= 0:
                    return
                self._news.wait(min(left, 0.2))

    def _on_notify(self, _channel: str, payload: str) -> None:
        if payload.startswith(Word.DONE):
            with self._news:
                lane = int(payload.removeprefix(Word.DONE))
                self._heard[lane] = self._heard.get(lane, 0) + 1
                self._news.notify_all()

    def _on_gap(self) -> None:
        with self._news:
            self._heard_all += 1
            self._news.notify_all()

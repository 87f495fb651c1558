"""Waiting for outcomes: who waits registers, reads, waits, and reads again. Not for: what was read (``decoding``).

A notification wakes the waiter early; whatever it hears, it looks again every second. A database that is away is waited
for as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from goque.client.collector import ROWS, Collector
from goque.client.spans import Span
from goque.errors import DatabaseUnavailable, ResultExpired
from goque.model.wording import number_of
from goque.postgres.database import Database
from goque.postgres.notifications import Listener
from goque.queries import outcomes
from goque.queries.moments import Word, channel
from goque.queries.outcomes import OutcomeRow

WATCH_S = 60.0
"""Seconds for which a waiter asks to be notified; it asks again halfway."""
LOOK_S = 1.0
"""A waiter looks at least this often."""
TOGETHER = 4 * 1024 * 1024
"""Bytes of large results that are read at once."""
LONGEST_PAUSE_S = 3.0
"""A database that is away is tried again at least this often."""

log = logging.getLogger("goque")
_T = TypeVar("_T")


class Waiting:
    """The ears of a queue: one connection that listens, shared by all who wait.

    ``meanwhile(lanes)`` is called at every turn of a wait for tasks in these lanes.
    """

    def __init__(
        self,
        database: Database,
        *,
        listen: bool,
        meanwhile: Callable[[Sequence[int]], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._listen = listen and not database.pooler
        self._meanwhile = meanwhile
        self._away = False
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
        late: Callable[[int], str] = lambda _: "",
        stop: threading.Event | None = None,
        values: bool = False,
    ) -> Iterator[OutcomeRow]:
        """The outcomes of these tasks, as they come; with ``values`` large results too, but for the largest.

        ``lanes`` are those that the tasks are in; ``tick`` is called at every turn, about once a second or more often.
        ``late(id)`` says of the first task that has not ended in time what it waits for.

        Raises:
            TimeoutError: not all have ended within ``timeout`` seconds.
            ResultExpired: one of them is not there any more.
        """
        collector = Collector(self._database, spans)
        end = None if timeout is None else time.monotonic() + timeout
        pause, cost = 0.002, 0.0
        known: tuple[int, ...] = ()
        before = 0

        def turn() -> list[OutcomeRow]:
            nonlocal known, before, cost
            tick()
            known = tuple(lanes())
            self._meanwhile(known)
            before = self._counter(known)
            self._watch(known)
            looked = time.monotonic()
            rows = collector.look()
            cost = time.monotonic() - looked
            return rows

        while collector.outstanding and not (stop is not None and stop.is_set()):
            try:
                rows = self.through_outages(turn, until=end, stop=stop)
            except DatabaseUnavailable as error:
                if stop is not None and stop.is_set():
                    return
                raise TimeoutError(
                    f"{_not_ended(collector.outstanding, timeout)}, as far as is known: {error}"
                ) from error
            yield from self._with_large(rows) if values else rows
            # What had ended by then is given whole: a look that was full may have left some.
            if end is not None and time.monotonic() >= end and collector.outstanding and len(rows) < ROWS:
                why = late(collector.left[0][0])
                first = "" if collector.outstanding == 1 else "the first: "
                raise TimeoutError(_not_ended(collector.outstanding, timeout) + (f"; {first}{why}" if why else ""))
            if rows:
                pause = 0.002
            else:
                longest = LOOK_S if self._listen else LOOK_S / 2
                left = longest if end is None else min(longest, max(0.0, end - time.monotonic()))
                if pause >= longest:
                    self._require(collector.left[0][0], end, stop)
                # Looking may take a tenth of the time at most, however large the batch.
                self._wait(known, before, min(max(pause, 10 * cost), left))
                pause = min(pause * 2, longest)

    def _with_large(self, rows: list[OutcomeRow]) -> Iterator[OutcomeRow]:
        """The rows with large results read several at a time; what is too large for that stays unread."""
        for group in _groups(rows):
            wanted = [row.source for row in group if row.result is None and row.size is not None]
            found: dict[int, bytes | None] = {}
            if len(wanted) > 1:
                found.update(self.through_outages(partial(self._database.all, outcomes.results(wanted))))
            for row in group:
                yield row._replace(result=found[row.source]) if row.source in found else row

    def through_outages(
        self, action: Callable[[], _T], *, until: float | None = None, stop: threading.Event | None = None
    ) -> _T:
        """Call until the database can be reached, trying less and less often; ``action`` must be safe to repeat.

        Raises:
            DatabaseUnavailable: it cannot, and the moment ``until`` (``time.monotonic``) has come or ``stop`` is set.
        """
        pause = 0.05
        while True:
            try:
                found = action()
            except DatabaseUnavailable:
                left = pause if until is None else min(pause, until - time.monotonic())
                if left <= 0 or (stop is not None and stop.is_set()):
                    raise
                self._say_away(True)
                (stop or threading.Event()).wait(left)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                self._say_away(False)
                return found

    def _require(self, task: int, until: float | None, stop: threading.Event | None) -> None:
        """Nobody waits for a task for ever that was removed meanwhile, or before."""
        if not self.through_outages(lambda: self._database.all(outcomes.is_there(task)), until=until, stop=stop):
            raise ResultExpired(f"task {task} is not there any more: its retention is over, or its batch was deleted")

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
                self._database, [channel(self._database.schema)], self._on_notify, self._on_gap, name="listener"
            )
            self._listener.start()
        now = time.monotonic()
        stale = [lane for lane in lanes if self._watched.get(lane, 0.0) < now + WATCH_S / 2]
        if stale:
            self._database.run(outcomes.watch(stale, WATCH_S))
            self._watched.update(dict.fromkeys(stale, now + WATCH_S))

    def _say_away(self, away: bool) -> None:
        """Tell the user that the database has gone, and that it is back: once each, however many wait."""
        with self._news:
            if self._away == away:
                return
            self._away = away
        place = self._database.profile.place
        if away:
            log.warning("goque: lost the connection to %s; reconnecting", place)
        else:
            log.warning("goque: connected to %s again", place)

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


def _groups(rows: list[OutcomeRow]) -> Iterator[list[OutcomeRow]]:
    """Rows of which the results are ``TOGETHER`` bytes at most, or one by itself."""
    group: list[OutcomeRow] = []
    size = 0
    for row in rows:
        size += row.size or 0
        if group and size > TOGETHER:
            yield group
            group, size = [], row.size or 0
        group.append(row)
    if group:
        yield group


def _not_ended(number: int, timeout: float | None) -> str:
    goes_on = "it goes on" if number == 1 else "they go on"
    return f"{number_of(number, 'task')} {'has' if number == 1 else 'have'} not ended after {timeout:g} s; {goes_on}"

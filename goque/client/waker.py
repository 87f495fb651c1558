"""Telling idle workers that there is work, without a notification per task. Not for: hearing (``client.waiting``)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from goque.errors import DatabaseError
from goque.postgres.verbs import Verbs
from goque.queries import enqueue
from goque.queries.moments import Word, channel
from goque.sql import Statement

log = logging.getLogger("goque.client")

QUIET_S = 0.01
"""At most one notification in this time: a notification takes a lock of the whole database at commit."""
LATEST_S = 1.2 * QUIET_S
"""So long after a notification comes the next, if nothing that is stored meanwhile takes it along."""


class Waker:
    """The first enqueue notifies, then one in each quiet time; the last one by a timer, unless it did so itself."""

    def __init__(self, database: Verbs) -> None:
        self._database = database
        self._channel = channel(database.schema)
        self._lock = threading.Lock()
        self._said_at = 0.0
        self._owed_at: float | None = None
        """When the last was stored of those that nobody was told of (``time.monotonic()``); None for none."""
        self._timer: threading.Timer | None = None

    def after_fork(self) -> None:
        """Begin anew in a forked process, where no timer runs."""
        self._lock = threading.Lock()
        self._owed_at = self._timer = None

    def statement(self, word: Word = Word.WORK) -> Statement[object]:
        """A notification that goes out with a transaction of its own sender."""
        return enqueue.wake(self._channel, word)

    def telling(self, store: Callable[[Statement[object] | None], object]) -> None:
        """Store something that workers are told of, by the statement it is called with or, without one, soon after."""
        began = time.monotonic()
        with self._lock:
            is_due = began - self._said_at >= QUIET_S
            if is_due:
                self._said_at = began
        store(self.statement() if is_due else None)
        with self._lock:
            if not is_due:
                self._owed_at = time.monotonic()
                if self._timer is None:
                    self._wait()
            elif self._owed_at is not None and self._owed_at <= began:
                self._owed_at = None  # whoever hears of this finds what was stored before it began

    def say(self, word: Word) -> None:
        """Notify now."""
        self._database.run(self.statement(word))

    def flush(self) -> None:
        """Send the notification that is still owed, if one is."""
        with self._lock:
            timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            if self._owed_at is None:
                return
            self._owed_at, self._said_at = None, time.monotonic()
        try:
            self._database.run(self.statement())
        except DatabaseError as error:
            # The work is stored; workers look for themselves every few seconds.
            log.debug("workers could not be notified: %s", error)

    def _wait(self) -> None:
        self._timer = threading.Timer(self._said_at + LATEST_S - time.monotonic(), self._time_is_up)
        self._timer.daemon = True
        self._timer.start()

    def _time_is_up(self) -> None:
        with self._lock:
            self._timer = None
            if self._owed_at is None:
                return
            if time.monotonic() < self._said_at + LATEST_S:
                self._wait()
                return
        self.flush()

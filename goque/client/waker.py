"""Telling idle workers that there is work, without a notification per task. Not for: hearing (``client.waiting``)."""

from __future__ import annotations

import logging
import threading
import time

from goque.errors import DatabaseError
from goque.postgres.verbs import Verbs
from goque.queries import enqueue
from goque.queries.moments import Word, channel
from goque.sql import Statement

log = logging.getLogger("goque.client")

QUIET_S = 0.01
"""At most one notification in this time: a notification takes a lock of the whole database at commit."""


class Waker:
    """The first enqueue notifies at once; those that follow share one notification at the end of the quiet time."""

    def __init__(self, database: Verbs) -> None:
        self._database = database
        self._channel = channel(database.schema)
        self._lock = threading.Lock()
        self._said_at = 0.0
        self._timer: threading.Timer | None = None

    def after_fork(self) -> None:
        """Begin anew in a forked process, where no timer runs."""
        self._lock = threading.Lock()
        self._timer = None

    def statement(self, word: Word = Word.WORK) -> Statement[object]:
        """A notification that goes out with a transaction of its own sender."""
        return enqueue.wake(self._channel, word)

    def due(self) -> Statement[object] | None:
        """A notification to send along now, None when one will be sent presently."""
        with self._lock:
            now = time.monotonic()
            if self._timer is None and now - self._said_at >= QUIET_S:
                self._said_at = now
                return self.statement()
            if self._timer is None:
                self._timer = threading.Timer(QUIET_S, self.flush)
                self._timer.daemon = True
                self._timer.start()
            return None

    def say(self, word: Word) -> None:
        """Notify now."""
        self._database.run(self.statement(word))

    def flush(self) -> None:
        """Send the notification that is still owed, if one is."""
        with self._lock:
            timer, self._timer = self._timer, None
            if timer is None:
                return
            timer.cancel()
            self._said_at = time.monotonic()
        try:
            self._database.run(self.statement())
        except DatabaseError as error:
            # The work is stored; workers look for themselves every few seconds.
            log.debug("workers could not be notified: %s", error)

"""The one loop that every background duty runs in: a named thread with a beginning, a rhythm and an end.

Not for: what the duties are. A duty is a subclass with ``run_once``.
"""

from __future__ import annotations

import logging
import random
import threading
from abc import ABC, abstractmethod

from goque.errors import DatabaseUnavailable

_SHORTEST_BACKOFF = 0.1
_LONGEST_BACKOFF = 3.0


class Service(ABC):
    """A duty done again and again in a daemon thread.

    ``interval`` is the pause between two turns in seconds, spread by ``jitter`` (0.1: ten per cent either way), so
    that many processes do not act in step. ``wake()`` ends a pause early. A turn that raises is logged, counted and
    followed by a growing pause; it never ends the service. A stopped service can be started again.
    """

    tells_outages = True
    """Whether a database that is away is a warning; False where somebody else is bound to tell it."""

    def __init__(self, name: str, *, interval: float, jitter: float = 0.1) -> None:
        self.name = name
        self.interval = interval
        self.jitter = jitter
        self.last_error: BaseException | None = None
        self.failures = 0
        self._logger = logging.getLogger("goque.service")
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._turn_ended = threading.Condition()
        self._turns = 0
        self._thread: threading.Thread | None = None

    @abstractmethod
    def run_once(self) -> float | None:
        """One turn. What it returns is the pause until the next one in seconds; None takes the interval."""

    def on_stop(self) -> None:  # noqa: B027 - most duties hold nothing
        """Called in the thread after the last turn, however the service ended; release what the turns hold."""

    @property
    def running(self) -> bool:
        """Whether its thread lives."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> threading.Event:
        """Set once the service is to end; long turns look at it."""
        return self._stopping

    @property
    def turns(self) -> int:
        """How many turns have ended, well or not."""
        return self._turns

    def start(self) -> None:
        """Start the thread; nothing happens if it runs."""
        if self.running:
            return
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, name=f"goque-{self.name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Take the next turn now. A call during a turn leads to one more turn after it."""
        self._wake.set()

    def stop(self) -> None:
        """Ask it to end after the current turn; ``join`` waits for that."""
        self._stopping.set()
        self.wake()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended; False if it has not within ``timeout`` seconds."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def wait_for_turns(self, count: int, timeout: float = 10.0) -> bool:
        """Wait until ``count`` turns have ended since the service was made; False after ``timeout`` seconds."""
        with self._turn_ended:
            return self._turn_ended.wait_for(lambda: self._turns >= count, timeout)

    def _loop(self) -> None:
        try:
            while not self._stopping.is_set():
                # Cleared before the turn: what a wake-up announces during it is looked at by the next one.
                self._wake.clear()
                if self._stopping.is_set():
                    break
                self._wake.wait(self._turn())
        finally:
            try:
                self.on_stop()
            except Exception:
                self._logger.exception("%s could not tidy up at its end", self.name)

    def _turn(self) -> float:
        """Take one turn; the pause after it."""
        try:
            asked = self.run_once()
            pause = self._spread(self.interval if asked is None else asked)
            if self.failures:
                self._logger.info("%s works again after %d failures", self.name, self.failures)
            self.failures, self.last_error = 0, None
        except Exception as error:
            pause = self._backed_off(error)
        with self._turn_ended:
            self._turns += 1
            self._turn_ended.notify_all()
        return pause

    def _backed_off(self, error: Exception) -> float:
        self.failures += 1
        self.last_error = error
        longest = min(_LONGEST_BACKOFF, _SHORTEST_BACKOFF * 2 ** min(self.failures - 1, 16))
        pause = random.uniform(longest / 2, longest)
        if isinstance(error, DatabaseUnavailable):
            level = logging.WARNING if self.tells_outages else logging.DEBUG
            self._logger.log(level, "%s: %s Next try in %.1f s.", self.name, error, pause)
        else:
            self._logger.error("%s failed; next try in %.1f s", self.name, pause, exc_info=error)
        return pause

    def _spread(self, pause: float) -> float:
        return max(0.0, pause * random.uniform(1 - self.jitter, 1 + self.jitter))

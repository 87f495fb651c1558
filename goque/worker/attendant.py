"""A duty at the desk: it sleeps until its own rule says that there is something to do. Not for: which duty.

The claimer and the completer share this rhythm: each waits on its condition of the desk and, after every wake-up and
every pause, decides whether to take a turn.
"""

from __future__ import annotations

import threading
from abc import abstractmethod

from goque.service import Service


class Attendant(Service):
    """Takes a turn whenever ``_pause`` says 0 or less."""

    def __init__(self, name: str, condition: threading.Condition) -> None:
        super().__init__(name, interval=0.0, jitter=0.0)
        self._condition = condition

    @abstractmethod
    def _pause(self) -> float:
        """Seconds until there is something to do, 0 or less for now; asked while the desk is locked."""

    @abstractmethod
    def turn(self) -> None:
        """Do it."""

    def wake(self) -> None:
        super().wake()
        with self._condition:
            self._condition.notify_all()

    def run_once(self) -> float | None:
        with self._condition:
            while not self.stopping.is_set() and (pause := self._pause()) > 0:
                self._condition.wait(pause)
        self.turn()
        return 0.0

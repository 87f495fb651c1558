"""Fetches objects while claims go on, so that nobody else's tasks wait for them. Not for: keeping them (``shelf``)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from goque.service import Service
from goque.worker.shelf import Shelf


class Porter(Service):
    """Fetches what lanes need, one lane after the other; meanwhile nothing is claimed of them."""

    def __init__(self, shelf: Shelf, arrived: Callable[[], None]) -> None:
        """``arrived`` hears, in this thread, that a lane may be claimed again."""
        super().__init__("porter", interval=60.0)
        self._shelf = shelf
        self._arrived = arrived
        self._wanted: dict[int, Collection[str]] = {}
        self._lock = threading.Lock()

    def send_for(self, lane: int, digests: Collection[str]) -> None:
        """Have the objects of this lane fetched. From any thread."""
        with self._lock:
            self._wanted[lane] = digests
        self.wake()

    def fetches_for(self, lane: int) -> bool:
        """Whether objects of this lane are still to come. From any thread."""
        return lane in self._wanted

    def run_once(self) -> float | None:
        while self._wanted and not self.stopping.is_set():
            with self._lock:
                lane, digests = next(iter(self._wanted.items()))
                # Last in the row, should it fail: no lane keeps the others waiting.
                self._wanted[lane] = self._wanted.pop(lane)
            self._shelf.fetch(digests, self.stopping)
            with self._lock:
                del self._wanted[lane]
            self._arrived()
        return None

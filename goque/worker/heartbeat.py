"""This worker's sign of life, and its look at the others'. Not for: freeing what lost workers held (``maintenance``).

No clock decides a death: who lives sets a counter to zero, who looks raises those of all others, and who was missing
at five looks in a row is lost. A machine that sleeps, a database that is away or a clock that jumps adds one at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from goque.postgres.verbs import Verbs
from goque.queries import workers
from goque.service import Service
from goque.worker.desk import Desk, Me

LEASE_S = workers.BEAT_S * workers.PUNCTUAL * (workers.LOOKS - 1)
"""Seconds after a heartbeat in which nobody can have declared us lost: the first look may come right after it."""


class Heartbeat(Service):
    """Beats every three seconds and, at most as often in the whole fleet, counts who is missing."""

    def __init__(
        self,
        database: Verbs,
        me: Me,
        desk: Desk,
        *,
        count_running: Callable[[], int],
        on_lost: Callable[[], None],
        on_others_lost: Callable[[list[int]], None],
        on_silence: Callable[[bool], None],
    ) -> None:
        """``on_lost``: we were declared lost. ``on_silence``: whether our heartbeats fail for a lease."""
        super().__init__("heartbeat", interval=workers.BEAT_S, jitter=0.0)
        self._database = database
        self._me = me
        self._desk = desk
        self._count_running = count_running
        self._on_lost = on_lost
        self._on_others_lost = on_others_lost
        self._on_silence = on_silence
        me.well_until = time.monotonic() + LEASE_S
        self._silent = False

    def run_once(self) -> float | None:
        began = time.monotonic()
        self._see_whether_well()
        running = self._count_running()
        _, _, held = self._desk.load()
        found = self._database.alone(workers.beat(self._me.id, running=running, buffered=max(0, held - running)))
        if self._me.id not in found:
            self.stop()  # said once: a second word would end the registration that follows
            self._on_lost()
            return None
        self._see_whether_well()
        self._me.well_until = began + LEASE_S
        self._be_silent(False)
        if lost := [id for id in found if id != self._me.id]:
            self._on_others_lost(lost)
        return None

    def _see_whether_well(self) -> None:
        if not self._me.well:
            self._be_silent(True)

    def _be_silent(self, silent: bool) -> None:
        if silent != self._silent:
            self._silent = silent
            self._on_silence(silent)

"""Looks after children that run something: timeouts, memory, floods of output, ends that do not come. Not for: I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from goque.worker.channel import capture
from goque.worker.channel.jobs import Why
from goque.worker.channel.measures import resident
from goque.worker.pool.brood import Brood
from goque.worker.pool.children import Child
from goque.worker.pool.lines import Line

INSPECTION = 0.25
"""Seconds between looks at the memory and logs of children that run something."""
_SOONEST = 0.005
_NOTHING_DUE = 60.0


class Watch:
    """Knows when to look next, and looks."""

    def __init__(self, brood: Brood, max_memory: int | None, stop: Callable[[int, int, Why], object]) -> None:
        self._brood = brood
        self._max_memory = max_memory
        self._stop = stop
        self._inspected = 0.0
        self._due = 0.0

    @property
    def due(self) -> float:
        """``time.monotonic()`` of the next look."""
        return min(self._due, self._brood.due)

    def expect(self, moment: float) -> None:
        """Look no later than that."""
        self._due = min(self._due, moment)

    def look(self, now: float) -> None:
        """One round over all children."""
        self._due = now + _NOTHING_DUE
        brood = self._brood
        brood.due = math.inf
        brood.revive(now)
        busy = False
        for child in list(brood.children.values()):
            for line in child.lines:
                if line.live:
                    busy = True
                    self._check_timeout(child, line, now)
            self._check_end(child, now)
        if busy:
            if now - self._inspected >= INSPECTION:
                self._inspected = now
                for child in list(brood.children.values()):
                    self._inspect(child)
            self.expect(self._inspected + INSPECTION)
        if brood.birth_at:
            self.expect(brood.birth_at)
        self._due = max(self._due, time.monotonic() + _SOONEST)

    def _check_timeout(self, child: Child, line: Line, now: float) -> None:
        timeouts = [job.timeout for job in line.live.values() if job.timeout is not None]
        if not timeouts or child.killed_for:
            return
        due = now + min(timeouts)
        stamp = line.running()
        if stamp is not None:
            job = line.live[stamp[0]]
            if job.timeout is not None and stamp[0] not in line.verdicts:
                due = stamp[1] + job.timeout
                if now >= due:
                    self._stop(line.slot, job.task_id, "timeout")
                    return
        self.expect(due)

    def _check_end(self, child: Child, now: float) -> None:
        """A child that should have ended, or answered, by now."""
        if child.kill_at is None or child.killed_for:
            return
        stuck = [line for line in child.lines if line.verdicts.keys() & line.live.keys()]
        if not stuck and not child.retiring:
            child.kill_at = None  # it answered
            return
        if now < child.kill_at:
            self.expect(child.kill_at)
            return
        self._brood.retire(child)
        if any(line.live for line in child.lines if line not in stuck):
            self.expect(now + INSPECTION)  # its neighbours are left in peace
        else:
            self._brood.kill(child, "it did not stop when it was asked to")

    def _inspect(self, child: Child) -> None:
        for line in child.lines:
            if line.live:
                capture.cut(line.log, capture.FLOOD)
        if child.common_log is not None:
            capture.cut(child.common_log, capture.FLOOD)
        if self._max_memory is not None and not child.killed_for and not child.idle:
            size = resident(child.pid)
            if size > self._max_memory:
                limit = self._max_memory >> 20
                self._brood.kill(child, f"memory: it used {size >> 20} MiB, and max_memory is {limit} MiB")

"""Frees what lost workers held. Not for: finding out who is lost (``worker.heartbeat``)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from goque.model.events import Events, TasksHealed
from goque.model.states import FINAL, Status
from goque.postgres.verbs import Verbs
from goque.queries import duplicates, enqueue, upkeep, workers
from goque.queries.moments import Word, channel
from goque.service import Service

log = logging.getLogger("goque.maintenance")

SOON = 1.0
"""Seconds after which what was locked is tried again."""


class Healer(Service):
    """Works through the claims of workers that are gone. Looks now and then, and at once when it is woken."""

    def __init__(
        self,
        database: Verbs,
        *,
        interval: float = 15.0,
        healed: Callable[[], None] = lambda: None,
        events: Events | None = None,
    ) -> None:
        """``healed`` is called when something became ready."""
        super().__init__("healer", interval=interval, jitter=0.2)
        self._database = database
        self._healed = healed
        self._events = events or Events()
        self.freed: Counter[str] = Counter()
        """Tasks freed so far, by the status they were given."""

    def run_once(self) -> float | None:
        again = False
        ended, left = self._database.pipeline([workers.hang_up(), upkeep.left_behind()])
        if any(ended):
            log.warning("ended %s sessions that lost workers had left in the middle of a transaction", sum(ended))
        if not left:
            return None
        while not self.stopping.is_set():
            [rows] = self._database.pipeline([upkeep.heal()])
            if rows:
                again = self._freed(rows) or again
            # Also when nothing was freed: claims of which nothing is left would stand before others for ever.
            if not self._database.run(upkeep.forget_claims()) and not rows:
                break
        if again:
            self._database.run(enqueue.wake(channel(self._database.schema), Word.WORK))
            self._healed()
        # What is left is locked by somebody's open transaction.
        return SOON if self._database.first(upkeep.left_behind()) is not None else None

    def _freed(self, rows: list[tuple[int, Status]]) -> bool:
        """Tell of freed tasks; whether some of them run again."""
        statuses = Counter(str(status) for _, status in rows)
        self.freed.update(statuses)
        self._events.emit(TasksHealed(statuses))
        final = [task for task, status in rows if status in FINAL]
        if final:
            self._database.drain(duplicates.share(final), duplicates.STEP)
        return len(final) < len(rows)

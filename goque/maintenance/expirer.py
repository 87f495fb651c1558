"""Cancels what has not begun in time. Not for: what a worker holds, which it looks at itself before it begins."""

from __future__ import annotations

from goque.model.events import Events, TasksExpired
from goque.postgres.verbs import Verbs
from goque.queries import cancel, duplicates
from goque.service import Service


class Expirer(Service):
    """Looks every few seconds: one probe of an index that holds only what waits and can expire."""

    def __init__(self, database: Verbs, *, interval: float = 10.0, events: Events | None = None) -> None:
        super().__init__("expirer", interval=interval, jitter=0.3)
        self._database = database
        self._events = events or Events()

    def run_once(self) -> float | None:
        ids = self._database.all(cancel.expire())
        if not ids:
            return None
        self._events.emit(TasksExpired(len(ids)))
        self._database.drain(duplicates.share(ids), duplicates.STEP)
        return 0.0

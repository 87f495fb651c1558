"""Folds the changes of counts into sums, so that counting stays cheap. Not for: counting (``queries.reading``)."""

from __future__ import annotations

from goque.postgres.verbs import Verbs
from goque.queries import upkeep
from goque.service import Service


class Bookkeeper(Service):
    """Folds twenty times as often while there is something to fold."""

    def __init__(self, database: Verbs, *, interval: float = 20.0) -> None:
        super().__init__("bookkeeper", interval=interval, jitter=0.3)
        self._database = database

    def run_once(self) -> float | None:
        lanes = self._database.all(upkeep.fold())
        return self.interval / 20 if lanes else None

"""Finishes what somebody began and could not finish. Not for: what lost workers held (``healer``).

Outcomes are shared, and batches canceled, by whoever ends a task or cancels it, in small steps after the first commit.
That process may die in between, or meet rows that are locked. What it left is found here.
"""

from __future__ import annotations

import logging
from typing import Any

from goque.model.identity import task_id
from goque.postgres.verbs import Verbs
from goque.queries import cancel, duplicates, upkeep
from goque.service import Service

log = logging.getLogger("goque.maintenance")

PATIENCE = 60.0
"""Seconds that whoever cancels a batch is given before somebody helps."""
RANGE = 20_000
"""Ids looked through in one step."""


class Sweeper(Service):
    """Looks now and then; with nothing left behind that costs two small reads at once."""

    def __init__(self, database: Verbs, *, interval: float = 15.0, patience: float = PATIENCE) -> None:
        super().__init__("sweeper", interval=interval, jitter=0.3)
        self._database = database
        self._patience = patience
        self._after = 0

    def run_once(self) -> float | None:
        half, page = self._database.pipeline([upkeep.half_canceled(self._patience), upkeep.inputs(self._after)])
        self._cancel_the_rest(half)
        return self._share_what_was_missed(page)

    def _share_what_was_missed(self, page: list[upkeep.Input]) -> float | None:
        """One page of the edges each time, so that many that wait cost no more than a few."""
        self._after = max((one.id for one in page), default=0) if len(page) >= upkeep.STEP else 0
        if final := sorted({one.id for one in page if one.final}):
            self._share(final)
        return self.interval / 10 if self._after else None

    def _cancel_the_rest(self, half_canceled: list[tuple[Any, ...]]) -> None:
        for lane, batch, total, reason, wanted_by in half_canceled:
            for first in range(task_id(batch, 0), task_id(batch, total), RANGE):
                if self.stopping.is_set():
                    return
                last = min(first + RANGE, task_id(batch, total)) - 1
                if ids := self._database.all(cancel.cancel_lane(lane, first, last, reason, owner=wanted_by or "")):
                    log.info("canceled %s tasks of batch %s, whose cancel had not come to its end", len(ids), batch)
                    self._share(ids)

    def _share(self, inputs: list[int]) -> None:
        for _ in self._database.steps(duplicates.share(inputs), duplicates.STEP):
            if self.stopping.is_set():
                return

"""Makes delayed tasks ready when their time has come. Not for: deciding that time (the database's clock does)."""

from __future__ import annotations

from collections.abc import Callable

from goque.model.events import Events, TasksPromoted
from goque.postgres.verbs import Verbs
from goque.queries import enqueue, upkeep
from goque.queries.moments import Word, channel
from goque.service import Service

LONGEST = 15.0
"""Seconds; tasks whose notification was missed are found after this long at the latest."""
SOONEST = 0.02


class Promoter(Service):
    """Sleeps until the next task is due; ``wake`` it when one was added."""

    def __init__(
        self,
        database: Verbs,
        *,
        longest: float = LONGEST,
        promoted: Callable[[], None] = lambda: None,
        events: Events | None = None,
    ) -> None:
        """``promoted`` is called when something became ready."""
        super().__init__("promoter", interval=longest, jitter=0.0)
        self._database = database
        self._promoted = promoted
        self._events = events or Events()

    def run_once(self) -> float | None:
        due = self._database.first(upkeep.next_due())
        if due is None:
            return None
        if due > 0:
            return min(due + 0.001, self.interval)
        rows = self._database.all(upkeep.promote())
        if rows:
            self._events.emit(TasksPromoted(len(rows)))
            self._promoted()
            if len(rows) > 1:
                # One is ours to run; of more, others may want their share.
                self._database.run(enqueue.wake(channel(self._database.schema), Word.WORK))
        # None, though something is due: others have locked it, or it is gone already.
        return SOONEST

"""How long a queue keeps finished work, and removing it now. Not for: the removing itself (``maintenance.cleaner``)."""

from __future__ import annotations

from goque.app.core import Core
from goque.errors import InvalidInput
from goque.maintenance.cleaner import Round
from goque.model.options import UNSET, Duration, Unset, positive, word
from goque.queries import retention

Kept = Duration | Unset | None


class Keeping:
    """The part of a queue that is about retention."""

    _core: Core

    def retention(self, queue: str, *, done: Kept = UNSET, failed: Kept = UNSET, batches: Kept = UNSET) -> None:
        """Set how long work of a queue stays; what is not given stays as it is set.

        Args:
            queue: its name; ``q.queues()`` shows what is set.
            done: single tasks, after they are done. A duration, None for ever, or "default" (7 days).
            failed: single tasks, after they failed for good or were canceled; "default" is 30 days.
            batches: batches as a whole, after their last change; "default" is 30 days.
        """
        self._core.require_writable()
        if word("queue", queue) == "*":
            raise InvalidInput("retention is set queue by queue; '*' is none")
        given = {"done": done, "failed": failed, "batches": batches}
        seconds = {what: _seconds(what, value) for what, value in given.items() if not isinstance(value, Unset)}
        if not seconds:
            raise InvalidInput('say what to keep how long: q.retention("etl", done="1d", failed=None)')
        self._core.database.run(retention.keep(queue, seconds))

    def clean(self, queue: str | None = None, *, dry_run: bool = False) -> dict[str, int]:
        """Remove now what is past its retention, as workers do every ten minutes; of one queue, or everything.

        Gives how many "batches", "tasks", "lanes", "functions" and "objects" are gone, without those of which none
        is. With ``dry_run`` nothing is removed, and batches and tasks are counted also where something needs them.
        """
        turn = Round(self._core.database, queue=queue)
        if dry_run:
            return dict(turn.count())
        self._core.require_writable()
        return dict(turn.clean())


def _seconds(what: str, value: Duration | None) -> float | None:
    if value == "default":
        return None
    return float("inf") if value is None else positive(what, value)

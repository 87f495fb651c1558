"""Tells of runs whose outcome is written, where somebody listens. Not for: what the database is told (``ledger``)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from goque.model.events import Events, RunEnded, RunsDone, RunsNotDone
from goque.model.identity import batch_of
from goque.model.states import RunOutcome, Status
from goque.worker.desk import Ended
from goque.worker.ledger import recorded
from goque.worker.programs import Programs


class Witness:
    """Makes events of what the completer has written."""

    def __init__(self, events: Events, programs: Programs) -> None:
        self._events = events
        self._programs = programs

    def saw(self, ended: Sequence[Ended], became: Mapping[int, Status]) -> None:
        """These runs were written together, and their tasks became this: all of them done, or none."""
        if not ended:
            return
        kind = RunsDone if became[ended[0].held.id] is Status.DONE else RunsNotDone
        if self._events.wanted(kind):
            epoch = time.time() - time.monotonic()
            self._events.emit(kind([self._run(one, became[one.held.id], epoch) for one in ended]))

    def about_to_be_done(self, one: Ended) -> RunEnded:
        """A run that has returned, and whose outcome is about to be written."""
        return self._run(one, Status.DONE, time.time() - time.monotonic())

    def _run(self, one: Ended, status: Status, epoch: float) -> RunEnded:
        held, came = one.held, one.outcome
        lane = self._programs.find(held.lane)
        # By position, since there is one for each task: keywords cost as much again.
        return RunEnded(
            held.id,
            held.run,
            "" if lane is None else lane.row.type,
            "" if lane is None else lane.row.queue,
            batch_of(held.id),
            RunOutcome.DONE if status is Status.DONE else recorded(came),
            status,
            held.attempts + 1,
            held.ready_at / 1e6,
            epoch + came.started if came.started else None,
            came.run_s,
            held.args_bytes,
            len(came.result or b""),
            came.error_type,
            held.traceparent or (None if lane is None else lane.row.traceparent),
        )

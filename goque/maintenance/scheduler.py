"""Makes the tasks of schedules when their slots come. Not for: which slots those are (``model.schedules``).

Every worker has one. All of them may see that a schedule is due; the first to move it on has made its tasks, and the
others find that it was moved. The time is the database's throughout.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from goque.errors import InvalidInput
from goque.model.events import Events, TasksScheduled
from goque.model.manifest import TaskType
from goque.model.schedules import due_slots, next_slot
from goque.postgres.verbs import Verbs
from goque.queries import enqueue, schedules, types
from goque.queries.moments import Word, channel
from goque.queries.schedules import Due, Step
from goque.service import Service

log = logging.getLogger("goque.maintenance")

LONGEST = 15.0
"""Seconds; what was declared elsewhere is noticed after this long at the latest."""
SPREAD = 0.05
"""Seconds over which the workers look, so that not all of them compute the same step."""
SOON = 0.02
MOST_TASKS = 2_000
"""A step ends with the schedule that makes it so many tasks; the rest comes with the next one."""


class Scheduler(Service):
    """Sleeps until the next slot."""

    def __init__(
        self,
        database: Verbs,
        *,
        longest: float = LONGEST,
        made: Callable[[], None] = lambda: None,
        events: Events | None = None,
    ) -> None:
        """``made`` is called when it has made tasks."""
        super().__init__("scheduler", interval=longest, jitter=0.0)
        self._database = database
        self._made = made
        self._events = events or Events()

    def run_once(self) -> float | None:
        due = self._database.one(schedules.next_due())
        if due is None:
            return None
        if due > 0:
            return min(due + random.uniform(0, SPREAD), self.interval)
        steps = self._with_lanes(self._steps())
        if not steps:
            return None  # what is due cannot be read here
        moved = set(self._database.all(schedules.fire(steps)))
        if tasks := sum(len(step.slots) for step in steps if step.name in moved):
            self._events.emit(TasksScheduled(tasks))
            self._database.run(enqueue.wake(channel(self._database.schema), Word.WORK))
            self._made()
        return SOON

    def _steps(self) -> list[Step]:
        steps: list[Step] = []
        tasks = 0
        for due in self._database.all(schedules.due()):
            try:
                steps.append(step := step_of(due))
            except InvalidInput as error:
                log.error("the schedule %s is left to other workers: %s", due.name, error)
                continue
            tasks += len(step.slots)
            if tasks >= MOST_TASKS:
                break
        return steps

    def _with_lanes(self, steps: list[Step]) -> list[Step]:
        names = sorted({step.type for step in steps if step.slots})
        known = self._database.pipeline([types.declared(name) for name in names])
        made = self._database.pipeline(
            [
                schedules.lane(found[0] if found else TaskType(name=name))
                for name, found in zip(names, known, strict=True)
            ]
        )
        lanes = {name: lane for name, [lane] in zip(names, made, strict=True)}
        return [step._replace(lane=lanes.get(step.type)) for step in steps]


def step_of(due: Due) -> Step:
    """What is to be done with a schedule that is due. Slots that passed during a pause are not made up for.

    Raises:
        InvalidInput: this machine cannot tell its slots, for want of its time zone.
    """
    schedule = due.schedule
    slots = [] if due.paused else due_slots(schedule, due.next_at, due.now)
    if due.resumed_at is not None:
        slots = [slot for slot in slots if slot > due.resumed_at]
    return Step(due.name, due.type, due.revision, slots, next_slot(schedule, due.now))

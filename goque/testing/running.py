"""Running what is queued in the test itself. Not for: what workers must withstand, such as crashes and lost workers.

The parts are a worker's own, without their threads: claims, verification, policies, records and fences are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from goque.app.apps import declare, gathered
from goque.app.core import Core
from goque.app.queue import Queue
from goque.app.spawning import Spawner
from goque.app.task import Task
from goque.errors import InvalidInput
from goque.model.manifest import App
from goque.queries import cancel, testing, upkeep, workers
from goque.queries.claim import Listed
from goque.queries.programs import programs as programs_of
from goque.testing.here import Here
from goque.worker import crew
from goque.worker.claimer import Claimer
from goque.worker.completer import Completer
from goque.worker.crew import WorkerConfig
from goque.worker.desk import Desk, Me
from goque.worker.dispatcher import Dispatcher
from goque.worker.ledger import Ledger
from goque.worker.programs import Programs
from goque.worker.roster import Ask, Roster
from goque.worker.shelf import Shelf
from goque.worker.task import once
from goque.worker.task.registry import Registry

MOST = 10_000
"""Runs after which a queue that does not come to rest is taken to be one that never will."""


def run_queued(
    queue: Queue,
    *,
    app: Registry | str | None = None,
    until_idle: bool = True,
    tags: Sequence[str] = (),
    most: int = MOST,
) -> list[Task]:
    """Run what is ready, in this process and thread, one task after the other: by priority, then by age.

    Outcomes, retries and records are as a worker would leave them. A task that runs for longer than its timeout is not
    stopped, but fails by it. What waits for its time is left; ``advance`` lets the time come.

    Args:
        app: whose named task types are run too: a registry, or "package.module:name".
        until_idle: go on with what these tasks submit, and with retries that are due; False: what is ready now, once.
        tags: what this worker has to offer, as ``goque worker --tags``.
        most: how many runs there may be.

    Returns:
        The tasks that were run, in order; one that was run twice is there twice.

    Raises:
        InvalidInput: ``most`` runs, and there is still something to do.
    """
    queue._core.require_writable()
    worker = _Worker(queue._core, tags, gathered([] if app is None else [app]))
    try:
        until = worker.ready_until()
        while (lane := worker.next_lane(until)) is not None:
            if len(worker.here.ran) >= most:
                raise InvalidInput(f"{most:,} runs, and the queue is not idle: does a task submit or snooze for ever?")
            if not worker.run_one(lane):
                break  # somebody holds it, and would be waited for
            if until_idle:
                until = worker.ready_until()
    finally:
        worker.close()
    return [Task(queue._core, task) for task in worker.here.ran]


class _One(Roster):
    """One task of one lane at a time."""

    def offer(self, lane: Listed) -> None:
        self._listed = [lane]

    def asks(self, held: Iterable[tuple[int, int]], free: int, over: int = 0) -> list[Ask]:
        return [Ask(lane.lane, 0, 1) for lane in self._listed[:1]]

    def refresh(self, *_found: Any, **_how: Any) -> None:
        """What comes next is said by ``offer``."""


class _Worker:
    """A registered worker of one slot that does nothing by itself."""

    def __init__(self, core: Core, tags: Sequence[str], apps: Sequence[App]) -> None:
        owner = core.settings.owner
        declare(core.database, apps, owner)
        config = WorkerConfig(tags=tags, local=True, owner=owner, result_limit=core.limit, apps=apps)
        self._connection = connection = core.database.dedicated("pinned")
        me = Me(connection.one(crew.registration(config, core.ring)), crew.eligibility(config, core.ring))
        self._me = me
        self._desk = Desk()
        self._roster = _One(1)
        self._ledger = Ledger(core.ring)
        shelf = Shelf(core.ring, connection.all)
        programs = Programs(
            core.ring,
            lambda lanes: connection.all(programs_of(lanes)),
            shelf=shelf,
            send_for=lambda _lane, digests: shelf.fetch(digests),
            result_limit=core.limit,
            apps=apps,
        )
        spawner = Spawner(connection, core.ring)
        self.here = Here()
        self._dispatcher = Dispatcher(me, self.here, self._desk, self._roster, programs, self._ledger)
        self._completer = Completer(
            connection,
            me,
            self._desk,
            self._roster,
            self._ledger,
            stop_running=self._dispatcher.stop_running,
            give_way=self._dispatcher.give_way,
            spawn=lambda one: spawner(one.held.submissions or (), programs[one.held.lane].row),
        )
        self._claimer = Claimer(
            connection, me, self._desk, self._roster, programs, self._ledger, wake_dispatcher=self.here.wake
        )

    def ready_until(self) -> int:
        """Cancel what has expired, make ready what is due, and say until when that was."""
        while self._connection.all(cancel.expire()):
            pass
        while self._connection.all(upkeep.promote()):
            pass
        return self._connection.one(testing.ready_until())

    def next_lane(self, until: int) -> Listed | None:
        """The lane of the task that comes next; those for which a module is missing here are left to others."""
        lanes = self._connection.all(testing.in_order(self._me.eligibility, until))
        return next((lane for lane in lanes if not self._ledger.cannot_run(lane.lane)), None)

    def run_one(self, lane: Listed) -> bool:
        """Claim one task of this lane and bring it to the end of its run, written down; whether there was one."""
        self._roster.offer(lane)
        self._claimer.turn()
        found = not self._desk.idle
        while not self._desk.idle:
            self._dispatcher.run_once()
            if self.here.interrupted:
                raise KeyboardInterrupt
            self._completer.run_once()
        return found

    def close(self) -> None:
        """Hand back what is held, and leave."""
        once.close_all()
        self._desk.forget()
        self._claimer.clear_doubt()
        self._completer.turn()
        self._connection.pipeline([workers.finish(self._me.id), upkeep.forget_claims()])
        self._connection.close()

"""One registration of a worker: everything that holds tasks under one worker id. Not for: when to stop (``worker``).

A worker that was declared lost drops its crew, whatever it holds, and goes on with a new one under a new id.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from goque.model.eligibility import Eligibility
from goque.model.events import Events, RunEnded, TasksClaimed, WorkerStarted
from goque.model.manifest import App
from goque.payload.keys import KeyKind, KeyRing
from goque.postgres.database import Dedicated
from goque.queries import upkeep, workers
from goque.queries.enqueue import Single
from goque.queries.programs import LaneRow
from goque.queries.programs import programs as programs_of
from goque.sql import Statement
from goque.version import VERSION
from goque.worker.channel.jobs import MIB, PoolKind, Submission
from goque.worker.claimer import LONGEST_LOOK, LONGEST_LOOK_UNTOLD, Claimer
from goque.worker.completer import Completer
from goque.worker.desk import Desk, Me
from goque.worker.dispatcher import Dispatcher
from goque.worker.heartbeat import Heartbeat
from goque.worker.ledger import Ledger
from goque.worker.pool.pool import Pool
from goque.worker.porter import Porter
from goque.worker.programs import Programs
from goque.worker.roster import Roster
from goque.worker.shelf import Shelf
from goque.worker.witness import Witness

log = logging.getLogger("goque.worker")

Spawn = Callable[[Sequence[Submission], LaneRow, RunEnded], list[Single]]
"""Makes tasks, ready to be stored, of what a task of this lane asked for in this run."""

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """How a worker works. Times are seconds, sizes bytes; the command line's flags are made from these."""

    slots: int = 1
    """Tasks at once."""
    pool: PoolKind = "process"
    queues: Sequence[str] | None = None
    """The queues to serve; None is every queue."""
    tags: Sequence[str] = ()
    """What this worker has to offer; it takes tasks whose tags are all among them."""
    callables: bool = True
    """Take functions that were sent, not only named task types."""
    grace: float = 20.0
    """How long running tasks may go on after the worker was asked to stop, hand-back included."""
    drain: bool = False
    """End when there is nothing left to do."""
    idle_exit: float | None = None
    max_runtime: float | None = None
    max_tasks: int | None = None
    max_tasks_per_child: int | None = None
    max_memory: int | None = None
    """Resident memory of a child, over which it is stopped."""
    threads: int | None = 1
    """Threads that numeric libraries may start in a child; None leaves it to them."""
    slot_environment: Sequence[Mapping[str, str]] = ()
    lanes: Sequence[int] | None = None
    """Of functions that were sent, serve these lanes only, as a notebook's own workers do."""
    apps: Sequence[App] = ()
    """Whose named task types this worker runs."""
    clean: bool = True
    """Remove what is past its retention, in turn with other workers."""
    local: bool = False
    owner: str = ""
    listen: bool = True
    result_limit: int = 128 * MIB


@dataclass(slots=True)
class Crew:
    """The parts of a worker, made and started together."""

    writing: Dedicated
    asking: Dedicated
    ring: KeyRing
    config: WorkerConfig
    on_lost: Callable[[], None]
    on_others_lost: Callable[[list[int]], None]
    on_delayed: Callable[[], None]
    on_shared_by_many: Callable[[], None]
    spawn: Spawn
    has_spawned: Callable[[set[int]], None]
    events: Events = field(default_factory=Events)
    me: Me = field(init=False)
    desk: Desk = field(init=False)
    claimer: Claimer = field(init=False)
    completer: Completer = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    heartbeat: Heartbeat = field(init=False)
    ledger: Ledger = field(init=False)
    porter: Porter = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        self.me = Me(self.asking.one(registration(config, self.ring)), eligibility(config, self.ring))
        for connection in (self.writing, self.asking):
            connection.mark(workers.mark(self.me.id))
        self.desk = Desk()
        limits = {one.name: one.concurrency for app in config.apps for one in app.types if one.concurrency is not None}
        roster = Roster(config.slots, limits)
        ledger = self.ledger = Ledger(self.ring)
        shelf = Shelf(self.ring, self.asking.all)
        self.porter = Porter(shelf, lambda: self.claimer.look_again())
        programs = Programs(
            self.ring,
            lambda lanes: self.asking.all(programs_of(lanes)),
            shelf=shelf,
            send_for=self.porter.send_for,
            result_limit=config.result_limit,
            apps=config.apps,
        )
        pool = Pool(
            config.slots,
            config.pool,
            threads=config.threads,
            slot_environment=config.slot_environment,
            max_tasks_per_child=config.max_tasks_per_child,
            max_memory=config.max_memory,
        )
        self.dispatcher = Dispatcher(self.me, pool, self.desk, roster, programs, ledger)
        witness = Witness(self.events, programs)
        self.completer = Completer(
            self.writing,
            self.me,
            self.desk,
            roster,
            ledger,
            stop_running=self.dispatcher.stop_running,
            give_way=self._give_way,
            delayed=self.on_delayed,
            shared_by_many=self.on_shared_by_many,
            spawn=lambda one: self.spawn(
                one.held.submissions or (), programs[one.held.lane].row, witness.about_to_be_done(one)
            ),
            has_spawned=self.has_spawned,
            witness=witness,
        )
        self.claimer = Claimer(
            self.asking,
            self.me,
            self.desk,
            roster,
            programs,
            ledger,
            wake_dispatcher=pool.wake,
            longest_look=LONGEST_LOOK if config.listen else LONGEST_LOOK_UNTOLD,
            claimed=lambda tasks: self.events.emit(TasksClaimed(tasks)),
            fetching=self.porter.fetches_for,
        )
        self.heartbeat = Heartbeat(
            self.asking,
            self.me,
            self.desk,
            count_running=self.dispatcher.count_running,
            on_lost=self.on_lost,
            on_others_lost=self.on_others_lost,
            on_silence=self._on_silence,
        )
        pool.start()
        for service in (self.dispatcher, self.completer, self.porter, self.claimer, self.heartbeat):
            service.start()
        self.events.emit(WorkerStarted(self.me.id, config.slots, config.pool))

    def serve(self, lanes: Sequence[int]) -> None:
        """Serve these lanes as well."""
        known = set(self.me.eligibility.lanes or ())
        self.me.eligibility = replace(self.me.eligibility, lanes=sorted(known | set(lanes)))
        self.claimer.look_again()

    def stop_claiming(self) -> None:
        """Take nothing more, and hand back what has not begun."""
        self.claimer.claiming = False
        self.claimer.wake()
        self.dispatcher.retire()

    def wait_until_idle(self, until: float) -> bool:
        """Wait until nothing is held, at most until ``until`` (``time.monotonic()``)."""
        while not self.desk.idle:
            left = until - time.monotonic()
            if left <= 0:
                return False
            with self.desk.changed:
                self.desk.changed.wait(min(left, 0.05))
        return True

    def close(self, *, orderly: bool) -> None:
        """End all parts. ``orderly``: what we held has been handed back, and the database is told so."""
        self.heartbeat.stop()
        # In the order in which tasks pass through them: what one brings at its end, the next hands back at its own.
        for service in (self.claimer, self.porter, self.dispatcher):
            service.stop()
            service.join(10.0)
        if orderly:
            self.wait_until_idle(time.monotonic() + 5.0)
        self.completer.stop()
        self.completer.join(10.0)
        self.heartbeat.join(10.0)
        if orderly:
            # A claim whose answer was lost is known to the database only; what cannot be handed back the healer frees.
            self.claimer.clear_doubt()
            self.asking.pipeline([workers.finish(self.me.id), upkeep.forget_claims()])

    def _give_way(self, lanes: Sequence[int]) -> None:
        self.dispatcher.give_way(lanes)
        self.claimer.give_way(lanes)

    def _on_silence(self, silent: bool) -> None:
        if silent:
            log.warning("no heartbeat could be written for a lease: starting nothing until one can")
        self.claimer.look_again()


def registration(config: WorkerConfig, ring: KeyRing) -> Statement[int]:
    """This process as a worker; gives its id."""
    return workers.register(
        host=socket.gethostname(),
        pid=os.getpid(),
        python=platform.python_version(),
        prefix=sys.prefix,
        version=VERSION,
        owner=config.owner,
        pool=config.pool,
        slots=config.slots,
        queues=config.queues,
        tags=config.tags,
        key_ids=ring.ids(KeyKind.CODE),
        types=_types(config),
        local=config.local,
    )


def eligibility(config: WorkerConfig, ring: KeyRing) -> Eligibility:
    """What such a worker may take."""
    return Eligibility(
        python=PYTHON,
        queues=config.queues,
        key_ids=ring.ids(KeyKind.CODE),
        tags=config.tags,
        lanes=config.lanes,
        callables=config.callables,
        types=_types(config),
    )


def _types(config: WorkerConfig) -> list[str]:
    return [one.name for app in config.apps for one in app.types]

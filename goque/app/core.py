"""What Queue, Batch and Task share: connections, keys and parts, made once. Not for: the faces themselves."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goque.app import apps, left
from goque.app.local import LocalWorkers, ring_of
from goque.client.callbacks import Callbacks
from goque.client.decoding import Decoder
from goque.client.functions import Functions
from goque.client.maps import Maps
from goque.client.objects import Objects
from goque.client.singles import Singles
from goque.client.types import Types
from goque.client.units import Unit
from goque.client.waiting import Waiting
from goque.client.waker import Waker
from goque.errors import InvalidInput, KeyMissing, MigrationNeeded, PythonMismatch, ReadOnly, WaitingInsideTask
from goque.model.manifest import App
from goque.model.tracing import Tracing
from goque.notebook.panel import BOARD
from goque.observe import tracing
from goque.payload.codec import DEFAULT_LIMIT
from goque.payload.envelope import Opener, Purpose, context_of
from goque.payload.functions import python_version
from goque.payload.keys import KeyRing
from goque.payload.refs import Ref
from goque.postgres import migrations
from goque.postgres.database import Database
from goque.queries import lanes, reading
from goque.queries.settings import note, setting
from goque.settings import Settings, usable_cores
from goque.worker.task.registry import Registry

if TYPE_CHECKING:
    from goque.notebook.dashboard import Dashboard

log = logging.getLogger("goque")

CONNECTIONS = 4
"""Connections of one queue at most, the listening one not counted; threads beyond that take turns."""
_warned_unsigned = threading.Event()


@dataclass(slots=True, weakref_slot=True)
class Core:
    """The parts of a queue."""

    settings: Settings
    database: Database
    ring: KeyRing
    functions: Functions
    unit: Unit
    objects: Objects
    types: Types
    waiting: Waiting
    callbacks: Callbacks
    decoder: Decoder
    local: LocalWorkers
    read_only: bool
    limit: int = DEFAULT_LIMIT
    _lanes: dict[int, tuple[float, tuple[int, ...]]] = field(default_factory=dict)
    dashboard: Dashboard | None = None
    """The page that keeps itself new, once somebody asked for it."""
    asked: dict[tuple[Any, ...], float] = field(default_factory=dict)
    """When it was last asked who could run what (``reasons.nobody_will``)."""
    _may_submit: bool = False

    @property
    def waker(self) -> Waker:
        """What tells workers."""
        return self.unit.waker

    def require_writable(self) -> None:
        """
        Raises:
            ReadOnly: this queue only looks.
        """
        if self.read_only:
            raise ReadOnly("this queue was opened with read_only=True; open another one to change something")

    def require_key(self) -> None:
        """Nobody submits unsigned work to a database in which work is signed.

        Raises:
            KeyMissing: the database is marked as signed and this process holds no key that signs code.
        """
        self.require_writable()
        if self._may_submit:
            return
        signed = self.database.first(setting("signed"))
        if self.ring.is_empty:
            if signed is not None:
                raise KeyMissing(
                    "work in this database is signed, and this process has no key: set GOQUE_SECRET to the secret that "
                    "its other users have",
                    key_id="",
                )
            if not _warned_unsigned.is_set():
                _warned_unsigned.set()
                log.warning(
                    "no key: whoever can write to this database can run code on its workers. Set GOQUE_SECRET to one "
                    "secret for all clients and workers"
                )
        elif signed is None:
            self.database.run(note("signed", {"since": self.ring.code_keys[0].id}))
        self._may_submit = True

    def lanes_of(self, batch: int) -> tuple[int, ...]:
        """The lanes of a batch; a retry may add one, so they are read again now and then."""
        known = self._lanes.get(batch)
        if known is None or time.monotonic() - known[0] > 5.0:
            known = (time.monotonic(), tuple(lane for lane, _ in self.database.all(lanes.batch_lanes(batch))))
            self._lanes[batch] = known
        return known[1]

    def new_lanes(self, batch: int) -> None:
        """The batch has got a lane: have it served, waited for, and looked at."""
        self._lanes.pop(batch, None)
        self.local.serve(self.lanes_of(batch))
        self.look_again(batch)

    def look_again(self, batch: int) -> None:
        """Something was done to the batch, so its panels look at it, also those that have ended."""
        BOARD.refresh(lambda key: key[:2] == (id(self), batch))

    def declared(self, given: Iterable[Registry | str]) -> list[App]:
        """These registries as a worker takes them, known to everybody who enqueues.

        Raises:
            AppUnusable, NotSerializable, PayloadTooLarge: one cannot be loaded, or cannot travel.
        """
        if not given:
            return []
        self.require_writable()
        found = apps.gathered(given)
        apps.declare(self.database, found, self.settings.owner)
        self.types.forget()
        return found

    def take_up(self, lanes: Iterable[int]) -> None:
        """Have the local workers serve these lanes."""
        self.local.serve(lanes)

    def program_of(self, lane: int) -> bytes:
        """The verified code of what a lane runs.

        Raises:
            SignatureInvalid, KeyMissing, PythonMismatch: it cannot be had here.
        """
        found = self.database.one(lanes.code(lane))
        if found[2] != python_version():
            raise PythonMismatch(
                f"this function was made by Python {found[2]}, and this is {python_version()}", python=found[2]
            )
        opener = Opener(self.ring, Purpose.FUNCTION)
        return bytes(opener.open(context_of(found[0]), found[1]))

    def shared(self, batch: int) -> dict[str, Any]:
        """The keyword arguments that all calls of a batch share.

        Raises:
            SignatureInvalid, KeyMissing: they cannot be had here.
        """
        return self.decoder.shared(batch, self.database.one(reading.kwargs(batch)))

    def given(self, ref: Ref) -> Any:
        """What a user gave where a Ref is stored: a Ref, which can be asked, or the value that it stands for."""
        return self.objects.get(ref) if ref.automatic else ref.asking(self.objects.get)

    def say_nobody_can(self, why: str) -> None:
        """Tell the user why nothing happens."""
        log.warning("waiting, but %s", why)

    @property
    def tracing(self) -> Tracing:
        """Whoever traces in this process at this moment."""
        return tracing.found()

    @property
    def log(self) -> logging.Logger:
        """Where threads that nobody waits for say what went wrong."""
        return log

    def close(self) -> None:
        """Say what is still to be said, end the local workers, and close the connections."""
        BOARD.forget(lambda key: key[0] == id(self))
        if self.dashboard is not None:
            self.dashboard.close()
        self.waker.flush()
        served = self.local.served()
        self.local.stop()
        left.farewell(self.database, served)
        self.waiting.close()
        self.database.close()


def refuse_waiting_inside() -> None:
    """
    Raises:
        WaitingInsideTask: this code runs as a task.
    """
    from goque.worker.task import context

    if context.attempt_here() is not None:
        raise WaitingInsideTask(
            "a task may not wait for other tasks: with every slot waiting, nothing would run. Submit them and return"
        )


def make_core(
    settings: Settings,
    *,
    workers: int | None,
    migrate: bool,
    listen: bool,
    read_only: bool,
) -> Core:
    """Connect, check the schema, and put the parts together.

    Raises:
        MigrationNeeded: the schema is missing, older or newer than this version.
        DatabaseUnavailable, ServerError: there is no server to be had.
    """
    if workers is not None and (not isinstance(workers, int) or isinstance(workers, bool) or workers < 0):
        raise InvalidInput(f"workers must be a number of slots, 0 for none, not {workers!r}")
    dsn = settings.dsn
    if dsn is None:
        from goque.postgres import embedded

        dsn = embedded.ensure(settings.home)
        migrate = not read_only
        workers = usable_cores() if workers is None else workers
    database = Database(
        dsn, schema=settings.schema, max_connections=CONNECTIONS, pooler=not listen, read_only=read_only
    )
    try:
        _check_schema(database, migrate)
        ring = ring_of(settings.secret, settings.key_file if settings.embedded else None, create=True)
    except BaseException:
        database.close()
        raise
    functions = Functions(database, ring, settings.owner)
    waker = Waker(database)
    local = LocalWorkers(settings, dsn, workers or 0, listen)
    waiting = Waiting(database, listen=listen, meanwhile=local.keep_alive)
    core = Core(
        settings=settings,
        database=database,
        ring=ring,
        functions=functions,
        unit=Unit(
            database,
            waker,
            Singles(database, ring, functions, waker, limit=DEFAULT_LIMIT),
            Maps(database, ring, functions, waker, owner=settings.owner, limit=DEFAULT_LIMIT),
            settings.owner,
        ),
        objects=Objects(database, ring, settings.owner),
        types=Types(database),
        waiting=waiting,
        callbacks=Callbacks(waiting),
        decoder=Decoder(ring),
        local=local,
        read_only=read_only,
    )
    _at_exit(core)
    _at_fork(core)
    if local.slots and not read_only:
        left.announce(database, settings.owner)
    return core


def _check_schema(database: Database, migrate: bool) -> None:
    if not migrate:
        migrations.check(database)
        return
    try:
        migrations.check(database)
    except MigrationNeeded as error:
        if error.found is not None and error.found > error.wanted:
            raise
        migrations.migrate(database)


def _at_fork(core: Core) -> None:
    """A forked process has none of our threads, and may have any of our locks held. Connections look to themselves."""
    alive = weakref.ref(core)

    def begin_anew() -> None:
        core = alive()
        if core is not None:
            for part in (core.waiting, core.callbacks, core.waker, core.unit.singles, core.functions):
                part.after_fork()

    os.register_at_fork(after_in_child=begin_anew)


def _at_exit(core: Core) -> None:
    """A process that ends says what it still owes; its local workers notice by themselves."""
    alive = weakref.ref(core)
    owner = os.getpid()

    def farewell() -> None:
        core = alive()
        if core is not None and os.getpid() == owner:
            core.waker.flush()
            left.farewell(core.database, core.local.served())
            core.waiting.close()

    atexit.register(farewell)

"""The queue as its users hold it. Not for: what a batch or a task can do (``Batch``, ``Task``)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from types import ModuleType
from typing import Any, SupportsIndex

from goque.app.batch import Batch
from goque.app.changing import read_id
from goque.app.core import Core, make_core
from goque.app.giving import Giving
from goque.app.keeping import Keeping
from goque.app.looking import Looking
from goque.app.outbox import Outbox
from goque.app.task import Task
from goque.client.units import Commit, Unit
from goque.errors import InvalidInput, NotFound
from goque.model.eligibility import EVERY_QUEUE
from goque.model.options import UNSET, Duration, Options, Unset, word
from goque.model.wording import number_of
from goque.payload import codec
from goque.payload.refs import Ref
from goque.queries import lanes, pause, reading
from goque.queries.enqueue import Single
from goque.queries.moments import Word
from goque.queries.reading import BatchRow
from goque.settings import read
from goque.worker.task.registry import Registry


class Queue(Giving, Looking, Keeping):
    """Durable work for Python functions, in PostgreSQL.

    Without a DSN, and without ``GOQUE_DSN``, the queue lives in an embedded server of this user, which outlives this
    process, and is served by local workers of this process. With a DSN nothing is started or migrated unless asked.

    Args:
        dsn: the address of a shared server, as libpq takes it.
        workers: local worker slots; with the embedded server one per usable core unless said otherwise. They serve what
            this process submits or takes up again.
        schema: where everything lives, ``goque`` by default.
        owner: whose batch names these are; this user by default, or ``GOQUE_OWNER``.
        migrate: apply migrations first (``goque migrate`` does the same).
        listen: False behind PgBouncer in transaction mode: polling only, no state in sessions.
        read_only: look and change nothing.

    Raises:
        MigrationNeeded: the schema is missing, older or newer; the message has the command.
        ServerError: the embedded server cannot be used; the message has the remedy.
        DatabaseUnavailable: the server cannot be reached.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        workers: int | None = None,
        schema: str | None = None,
        owner: str | None = None,
        migrate: bool = False,
        listen: bool = True,
        read_only: bool = False,
    ) -> None:
        self._core = make_core(
            read(dsn, schema=schema, owner=owner), workers=workers, migrate=migrate, listen=listen, read_only=read_only
        )
        self._options = Options()
        self._given: dict[str, Any] = {}
        self._local = threading.local()

    def __repr__(self) -> str:
        core = self._core
        where = f"embedded at {core.settings.home}" if core.settings.embedded else core.database.shown
        schema = "" if core.settings.schema == "goque" else f", schema {core.settings.schema}"
        slots = f", {number_of(core.local.slots, 'local slot')}" if core.local.slots else ""
        return f"<Queue {where}{schema}{slots}>"

    @property
    def dsn(self) -> str:
        """The address in use, secrets included: for a client of yours, not for a log."""
        return self._core.database.dsn

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the local workers in an orderly way and close the connections. The work stays.

        A queue that is used again after this opens connections and starts local workers anew.
        """
        self._core.close()

    # Giving work otherwise than one by one

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """Submit many tasks one by one in this block: they are stored together when it ends, or not at all.

        Refused in it are maps, each all or nothing by itself, and external ids, whose task may be there already.
        """
        if getattr(self._local, "pipeline", None) is not None:
            raise InvalidInput("a pipeline is open in this thread already")
        waiting = _Pipeline(self._core)
        self._local.pipeline = waiting
        try:
            yield
            self._core.unit.singles.store_many(waiting.singles)
        finally:
            self._local.pipeline = None
            waiting.open = False
        self._core.take_up({single.lane for single in waiting.singles})

    def using(self, connection: Any) -> Outbox:
        """Give, cancel and retry in the transaction of this connection: all of it with its commit, or nothing.

        Args:
            connection: a psycopg 3 connection, or an SQLAlchemy connection or session over ``postgresql+psycopg``, to
                the database that this queue lives in.
        """
        return Outbox(self._core, connection, self._options, self._given)

    def put(self, obj: Any, name: str | None = None, keep: Duration | Unset | None = UNSET) -> Ref:
        """Store an object once, for many tasks: pass the Ref that this gives, and tasks are given the object.

        Arrays in it are shared by the processes of a worker and cannot be written to. An object that is there already
        is not stored again.

        Args:
            obj: whatever can be pickled.
            name: under which ``q.ref(name)`` finds it, from any process. A name that is taken stands for this from now
                on; who has the Ref of what it stood for goes on with that.
            keep: how long it stays after its last use when no task needs it any more, None for ever; a week unless
                somebody said otherwise. What its name no longer stands for is not kept for its sake.

        Raises:
            NotSerializable, PayloadTooLarge: it cannot be stored.
        """
        self._core.require_key()
        options = Options().updated({"name": name, "keep": keep})
        return self._core.objects.put(obj, options.name, options.keep_s)

    def ref(self, name: str) -> Ref:
        """The Ref of what I have put under a name, or somebody under "owner/name". Counts as a use of it.

        Raises:
            NotFound: nothing is there under this name.
        """
        owner, _, own = name.rpartition("/")
        ref = self._core.objects.named(owner or self._core.settings.owner, own)
        if not self._core.read_only:
            self._core.objects.require([ref.digest])
        return ref

    def executor(self) -> Executor:
        """A ``concurrent.futures.Executor`` over this queue, for code that takes one."""
        from goque.app.executor import QueueExecutor

        return QueueExecutor(self)

    @staticmethod
    def ship(module: ModuleType) -> None:
        """Send this module's code with whatever uses it, since workers cannot import it."""
        codec.ship(module)

    # Finding it again

    def batch(self, key: SupportsIndex | str) -> Batch:
        """A batch by its id, by its name (mine), or by "owner/name". Local workers take up what is left of it.

        Raises:
            NotFound: there is none.
        """
        return self._found(self._batch_row(self._core.database, key))

    @property
    def last(self) -> Batch:
        """My newest batch, whichever process submitted it.

        Raises:
            NotFound: I have none.
        """
        row = self._core.database.first(reading.last_batch(self._core.settings.owner))
        if row is None:
            raise NotFound("you have no batch yet; q.map(func, items) makes one")
        return self._found(row)

    def task(self, id: SupportsIndex) -> Task:
        """A task by its id.

        Raises:
            NotFound: there is none.
        """
        task = Task(self._core, read_id("a task", id, "its id, a number; q.tasks(external_id=...) lists others"))
        task._row()
        return task

    # Verbs for whole queues and for schedules

    def pause(self, *queues: str) -> None:
        """Start nothing more from these queues, or from all of them, later ones included. They still accept work."""
        self._set_paused(queues, True)

    def resume(self, *queues: str) -> None:
        """Take back ``pause`` for these queues. Without names: all, and local workers take on my unfinished work."""
        self._set_paused(queues, False)
        if not queues:
            self._core.take_up(self._core.database.all(lanes.unfinished_lanes(self._core.settings.owner)))

    def pause_schedules(self, *names: str) -> None:
        """Make no tasks of these schedules, or of all that there are. Slots that pass meanwhile are not made up for."""
        self._set_schedules_paused(names, True)

    def resume_schedules(self, *names: str) -> None:
        """Take back ``pause_schedules`` for these schedules, or for all."""
        self._set_schedules_paused(names, False)

    def forget_schedules(self, app: str) -> None:
        """Remove the schedules of an app that is gone, or is to be taken back to an older version.

        The next worker that starts with it declares its own, whatever was declared before.

        Raises:
            NotFound: no app of this name has declared schedules.
        """
        from goque.app import schedules

        self._core.require_writable()
        schedules.forget(self._core.database, app)

    def start_workers(
        self,
        slots: int,
        *,
        pool: str = "process",
        concurrency: int | None = None,
        queues: Sequence[str] | None = None,
        app: Registry | str | Sequence[Registry | str] = (),
    ) -> None:
        """Start a local worker that serves everybody, with so many slots (``concurrency`` for a thread pool).

        ``app`` is a ``goque.Registry``, also of a notebook, or "package.module:name", or several. A worker with an app
        takes the place of the one that this queue started with an app before.

        Raises:
            AppUnusable: a registry cannot be imported.
        """
        self._core.require_writable()
        if pool not in ("process", "thread"):
            raise InvalidInput(f"pool is 'process' or 'thread', not {pool!r}")
        count = concurrency if concurrency is not None else slots
        if count < 1:
            raise InvalidInput(f"a worker needs at least one slot, not {count}")
        config = {"slots": count, "pool": pool, "queues": None if queues is None else list(queues)}
        self._core.local.start(config, self._core.declared([app] if isinstance(app, Registry | str) else app))

    # Inside

    def _unit(self) -> Unit:
        return self._core.unit

    def _map(self, *given: Any) -> Batch | list[Any]:
        if getattr(self._local, "pipeline", None) is not None:
            raise InvalidInput("inside q.pipeline() tasks are submitted one by one: call map before the block or after")
        return super()._map(*given)

    def _store(self, single: Single, type: str, options: Options) -> Task:
        waiting: _Pipeline | None = getattr(self._local, "pipeline", None)
        return super()._store(single, type, options) if waiting is None else waiting.take(single)

    def _found(self, row: BatchRow) -> Batch:
        if not self._core.read_only:
            self._core.take_up(self._core.lanes_of(row.id))
        return Batch(self._core, row)

    def _set_paused(self, queues: Sequence[str], paused: bool) -> None:
        self._core.require_writable()
        if not queues and not paused:
            self._core.database.run(pause.resume_everything())
        else:
            names = [word("queue", name) for name in queues] or [EVERY_QUEUE]
            self._core.database.run(pause.pause_queues(names, paused))
        self._core.waker.say(Word.STOP if paused else Word.WORK)

    def _set_schedules_paused(self, names: Sequence[str], paused: bool) -> None:
        from goque.app import schedules

        self._core.require_writable()
        schedules.set_paused(self._core.database, names, paused)


class _Pipeline:
    """Tasks of a block that are stored when it ends."""

    def __init__(self, core: Core) -> None:
        self.singles: list[Single] = []
        self.open = True
        self._core = core
        self._commit = Commit(core.database, lambda: self.open)

    def take(self, single: Single) -> Task:
        if single.external_id is not None:
            raise InvalidInput("inside q.pipeline() tasks have no external_id: submit them outside of it")
        self.singles.append(single)
        return Task(self._core, single.id, single.lane, commit=self._commit)

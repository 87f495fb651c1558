"""The queue as its users hold it. Not for: what a batch or a task can do (``Batch``, ``Task``)."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal, NoReturn, TypeAlias, overload

from goque.app.batch import Batch
from goque.app.core import make_core
from goque.app.looking import Looking
from goque.app.task import Task
from goque.app.verbs import Changed, cancel_batch
from goque.client.functions import encoded_policy
from goque.client.items import Items, refuse_swapped, starred, zipped
from goque.client.maps import Work
from goque.client.singles import Submitted, single_only
from goque.errors import InvalidInput, NotFound, NotSerializable
from goque.model.eligibility import EVERY_QUEUE
from goque.model.options import OPTION_NAMES, Options, word
from goque.model.wording import number_of
from goque.payload import codec, fitting, preflight
from goque.payload.functions import CapturedFunction, capture
from goque.payload.origins import outside
from goque.queries import lanes, pause, reading
from goque.queries.enqueue import Single
from goque.queries.moments import Word
from goque.queries.reading import BatchRow
from goque.settings import read
from goque.worker.task.registry import Registry

Func: TypeAlias = Callable[..., Any]
Shared: TypeAlias = Mapping[str, Any] | None
No: TypeAlias = Literal[0]


class Queue(Looking):
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

    def __reduce__(self) -> NoReturn:
        raise NotSerializable("a Queue cannot travel: inside a task use goque.context()")

    # Giving work

    def options(self, **options: Any) -> Queue:
        """This queue with these options for what is submitted: ``q.options(timeout="10m").submit(f, x)``.

        Raises:
            UnknownOption: no such option; the message names those that resemble it.
        """
        if "dry_run" in options:
            raise InvalidInput("dry_run is for one map and changes what it returns: q.map(func, items, dry_run=3)")
        other = object.__new__(Queue)
        other._core, other._local = self._core, self._local
        other._options = self._options.updated(options)
        other._given = {**self._given, **options}
        return other

    @overload
    def map(
        self, func: Func, *iterables: Any, kwargs: Shared = ..., strict: bool = ..., dry_run: No = ..., **options: Any
    ) -> Batch: ...
    @overload
    def map(
        self, func: Func, *iterables: Any, kwargs: Shared = ..., strict: bool = ..., dry_run: int, **options: Any
    ) -> Batch | list[Any]: ...
    def map(
        self,
        func: Func,
        *iterables: Any,
        kwargs: Shared = None,
        strict: bool = True,
        dry_run: int = 0,
        **options: Any,
    ) -> Batch | list[Any]:
        """One task per item, all of them stored when this returns, or none.

        Args:
            func: any callable; it travels with what it captures.
            iterables: the items; several iterables give an argument each, side by side.
            kwargs: keyword arguments that all calls share, stored once.
            strict: refuse sized iterables of unequal length; False stops at the shortest.
            dry_run: call the function here for so many items, store nothing, and return what it returned as a list.
            options: as ``q.options`` takes them; ``name`` makes the map idempotent.

        Raises:
            InvalidInput: something cannot be mapped; nothing was stored.
            BatchMismatch: the batch of this name holds other work.
        """
        refuse_swapped(func, iterables)
        return self._map(func, zipped(iterables, strict=strict), kwargs or {}, dry_run, options)

    @overload
    def starmap(self, func: Func, rows: Any, *, kwargs: Shared = ..., dry_run: No = ..., **options: Any) -> Batch: ...
    @overload
    def starmap(
        self, func: Func, rows: Any, *, kwargs: Shared = ..., dry_run: int, **options: Any
    ) -> Batch | list[Any]: ...
    def starmap(
        self, func: Func, rows: Any, *, kwargs: Shared = None, dry_run: int = 0, **options: Any
    ) -> Batch | list[Any]:
        """One task per row: tuples give positional arguments, mappings keyword arguments, a DataFrame its rows."""
        return self._map(func, starred(rows), kwargs or {}, dry_run, options)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
        """One call, stored when this returns. Options go through ``q.options``, so that they never meet arguments.

        Raises:
            InvalidInput: function or arguments cannot be stored, or do not fit each other.
            DuplicateTask: the external id is taken and ``on_duplicate="error"``.
        """
        self._core.require_key()
        options = single_only(self._options)
        captured = capture(fn)
        self._check(captured, (args, kwargs), what="the call")
        function = self._core.functions.store(captured)
        single = self._core.singles.prepare(function, args, kwargs, options)
        return self._store(single, captured.name, options)

    def enqueue(self, type: str, payload: Any = None, **options: Any) -> Task:
        """One task of a named type, stored when this returns. Its code need not be here, nor a key.

        Args:
            type: the name under which workers have it (``goque.Registry``, ``goque worker --app``).
            payload: JSON values, a dataclass or a pydantic model. It is not signed: data, guarded by database roles.
            options: as ``q.options`` takes them; what is not given is as the type's workers declared it.

        Raises:
            PayloadError, PayloadTooLarge: the payload cannot be stored.
            DuplicateTask: the external id is taken and ``on_duplicate="error"``.
        """
        self._core.require_writable()
        chosen = single_only(self._core.types.options(type, {**self._given, **options}))
        if encoded_policy(chosen) is not None:
            self._core.require_key()
        text = fitting.as_json(payload, self._core.limit)
        return self._store(self._core.singles.named(type, text, chosen), type, chosen)

    def _store(self, single: Single, type: str, options: Options) -> Task:
        waiting: list[tuple[Task, Single]] | None = getattr(self._local, "pipeline", None)
        if waiting is not None:
            if options.external_id is not None:
                raise InvalidInput("inside q.pipeline() tasks have no external_id: submit them outside of it")
            task = Task(self._core, single.id, single.lane)
            task._committed = False
            waiting.append((task, single))
            return task
        stored: Submitted = self._core.singles.store(single, type, options)
        if stored.is_duplicate:
            task = Task(self._core, stored.id, is_duplicate=True)
            self._core.take_up([task._row().lane])
            return task
        self._core.take_up([stored.lane])
        return Task(self._core, stored.id, stored.lane)

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """Submit many tasks one by one in this block: they are stored together when it ends, or not at all."""
        if getattr(self._local, "pipeline", None) is not None:
            raise InvalidInput("a pipeline is open in this thread already")
        waiting: list[tuple[Task, Single]] = []
        self._local.pipeline = waiting
        try:
            yield
        finally:
            self._local.pipeline = None
        self._core.singles.store_many([single for _, single in waiting])
        for task, _ in waiting:
            task._committed = True
        self._core.take_up({single.lane for _, single in waiting})

    def executor(self) -> Executor:
        """A ``concurrent.futures.Executor`` over this queue, for code that takes one."""
        from goque.app.executor import QueueExecutor

        return QueueExecutor(self)

    @staticmethod
    def ship(module: ModuleType) -> None:
        """Send this module's code with whatever uses it, since workers cannot import it."""
        codec.ship(module)

    # Finding it again

    def batch(self, key: int | str) -> Batch:
        """A batch by its id, by its name (mine), or by "owner/name". Local workers take up what is left of it.

        Raises:
            NotFound: there is none.
        """
        if isinstance(key, str):
            owner, _, name = key.rpartition("/")
            row = self._core.database.first(reading.batch_by_name(owner or self._core.settings.owner, name))
        else:
            row = self._core.database.first(reading.batch_by_id(key))
        if row is None:
            raise NotFound(f"there is no batch {key!r}; q.batches() lists them")
        return self._found(row)

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

    def task(self, id: int) -> Task:
        """A task by its id.

        Raises:
            NotFound: there is none.
        """
        task = Task(self._core, id)
        task._row()
        return task

    # Verbs

    def cancel(self, *what: Task | Batch | int | str, reason: str | None = None) -> Changed:
        """Cancel tasks (by id or as they are) and batches (by name or as they are)."""
        total, skipped = 0, 0
        for one in map(self._named, what):
            if isinstance(one, Batch):
                changed = one.cancel(reason)
                total += changed.changed
                skipped += sum(changed.skipped.values())
            else:
                done = (Task(self._core, one) if isinstance(one, int) else one).cancel(reason)
                total, skipped = total + done, skipped + (not done)
        return Changed(total, {"already final": skipped} if skipped else {})

    def retry(self, *what: Task | Batch | int | str, reset: bool = True, force: bool = False) -> Changed:
        """Run failed and canceled tasks (by id or as they are) and batches (by name or as they are) again.

        ``force``: done ones too.
        """
        changed, skipped = 0, dict[str, int]()
        for one in map(self._named, what):
            target = Task(self._core, one) if isinstance(one, int) else one
            result = target.retry(reset=reset, force=force)
            changed += result.changed
            for reason, number in result.skipped.items():
                skipped[reason] = skipped.get(reason, 0) + number
        return Changed(changed, skipped)

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
        if pool not in ("process", "thread"):
            raise InvalidInput(f"pool is 'process' or 'thread', not {pool!r}")
        count = concurrency if concurrency is not None else slots
        if count < 1:
            raise InvalidInput(f"a worker needs at least one slot, not {count}")
        config = {"slots": count, "pool": pool, "queues": None if queues is None else list(queues)}
        self._core.local.start(config, self._core.declared([app] if isinstance(app, Registry | str) else app))

    # Inside

    def _map(
        self, func: Callable[..., Any], items: Items, kwargs: Mapping[str, Any], dry_run: int, given: dict[str, Any]
    ) -> Batch | list[Any]:
        self._core.require_key()
        if dry_run != 0:
            given = {**given, "dry_run": dry_run}
        options = self._options.updated(given) if given else self._options
        captured = capture(func)
        first, items = items.peeked()
        self._check(captured, None if first is None else (first[0], {**kwargs, **first[1]}))
        if options.dry_run:
            return items.tried(func, kwargs, options.dry_run)
        work = Work.of(self._core.functions.store(captured), options, kwargs)
        mapped = self._core.maps.store(work, items, self._replace)
        row = self._core.database.one(reading.batch_by_id(mapped.batch))
        self._core.new_lanes(mapped.batch)
        return Batch(self._core, row)

    def _replace(self, batch: int, reason: str) -> Changed:
        row = self._core.database.one(reading.batch_by_id(batch))
        return cancel_batch(self._core, batch, row.total, reason)

    def _named(self, one: Task | Batch | int | str) -> Task | Batch | int:
        """What a verb was given, a batch in place of its name."""
        return self.batch(one) if isinstance(one, str) else one

    def _found(self, row: BatchRow) -> Batch:
        if not self._core.read_only:
            self._core.take_up(self._core.lanes_of(row.id))
        return Batch(self._core, row)

    def _check(
        self, captured: CapturedFunction, call: tuple[Any, Any] | None, *, what: str = preflight.FIRST_ITEM
    ) -> None:
        args, kwargs = call if call is not None else (None, None)
        for warning in preflight.check(captured, args, kwargs, option_names=OPTION_NAMES, what=what):
            warnings.warn(warning, stacklevel=outside())

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

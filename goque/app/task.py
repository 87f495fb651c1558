"""One task, with the words of ``concurrent.futures.Future``. Not for: many tasks at once (``Batch``)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import cache
from typing import Any, NoReturn

from goque.app.core import Core
from goque.app.outcomes import Ended, as_they_come, ended
from goque.app.reasons import nobody_can, waiting_for
from goque.app.verbs import Changed, retry
from goque.client.units import Commit, Unit
from goque.errors import (
    InvalidInput,
    NotFound,
    NotSerializable,
    ResultUnavailable,
    TaskCanceled,
)
from goque.model.identity import batch_of, position_of
from goque.model.states import Status
from goque.notebook.cells import named
from goque.payload.functions import python_version
from goque.payload.refs import resolved
from goque.postgres.verbs import Verbs
from goque.queries import cancel, duplicates, reading
from goque.queries.moments import Word
from goque.queries.outcomes import OutcomeRow
from goque.queries.reading import RunRow, TaskRow

AWAIT_S = 0.2
"""An awaiting loop wakes at least this often, so that an interrupt of a notebook's cell gets through."""


class Task:
    """A call that is, was or will be run. The work goes on whether or not anybody holds this object.

    ``id`` finds it again: ``q.task(id)``. ``is_duplicate`` says that its external id was taken, and that this is the
    task which has it.
    """

    def __init__(
        self,
        core: Core,
        id: int,
        lane: int | None = None,
        *,
        is_duplicate: bool = False,
        commit: Commit | None = None,
    ) -> None:
        """``lane`` is that of a task which this process has just submitted, ``commit`` of what it is part of."""
        self._core = core
        self._lane = lane
        self._ended: Ended | None = None
        self._commit = commit
        self.id = id
        self.is_duplicate = is_duplicate

    def __repr__(self) -> str:
        try:
            return f"<Task {self.id} {self.status}>"
        except Exception:
            return f"<Task {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and other.id == self.id and other._core is self._core

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> NoReturn:
        raise NotSerializable("a Task cannot travel: pass task.result(), or task.id and find it again")

    # Future's words

    def result(self, timeout: float | None = None) -> Any:
        """What the function returned, waiting for it up to ``timeout`` seconds.

        Raises:
            TimeoutError: it has not ended by then; it goes on.
            Exception: the function's own, with the remote traceback as its cause, or ``TaskFailed``.
            TaskCanceled: it was canceled.
            ResultExpired, KeyMissing, PythonMismatch: there is a result that cannot be had here.
        """
        value, error = self._outcome(timeout)[1:]
        if error is not None:
            raise error
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The exception it ended with, None when it returned; waits as ``result`` does."""
        error = self._outcome(timeout).error
        if isinstance(error, TaskCanceled):
            raise error
        return error

    def wait(self, timeout: float | None = None) -> Task:
        """Wait until it has ended, in whichever way.

        Raises:
            TimeoutError: it has not within ``timeout`` seconds; it goes on.
        """
        self._outcome(timeout)
        return self

    def done(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._ended is not None or self.status.final

    def running(self) -> bool:
        """Whether its code runs now."""
        return self.status is Status.PROCESSING

    def cancelled(self) -> bool:
        """Whether it was canceled."""
        return self.status is Status.CANCELED

    def cancel(self, reason: str | None = None) -> bool:
        """Cancel it, whether it waits or runs; code that runs is stopped. Returns whether this changed something."""
        self._core.require_writable()
        return self._cancel(self._core.unit, reason)

    def add_done_callback(self, fn: Callable[[Task], object]) -> None:
        """Call ``fn(task)`` when it has ended, in a thread that all callbacks of the queue share; soon, if it has."""
        self._require_commit()
        lane, python = self._facts()

        def call_back(row: OutcomeRow) -> None:
            if self._ended is None:
                with suppress(ResultUnavailable):  # result() says so
                    self._ended = ended(self._core, row, python)
            fn(self)

        self._core.callbacks.add(self.id, lane, call_back)

    def __await__(self) -> Generator[Any, None, Any]:
        return awaited(lambda stop: self._outcome(None, stop), _unwrapped).__await__()

    # More than a Future knows

    @property
    def status(self) -> Status:
        """Its state now."""
        return self._row().status

    @property
    def waiting_for(self) -> str | None:
        """What it waits for, in words ("time", "inputs", "worker buffer", "paused", "Python 3.13"); None if it runs."""
        return waiting_for(self._core, self._row())

    @property
    def attempts(self) -> int:
        """Runs that were charged: done, failed, timed out, crashed or lost."""
        return self._row().attempts

    @property
    def batch(self) -> int | None:
        """The id of its batch, None if it was submitted by itself."""
        return batch_of(self.id)

    @property
    def position(self) -> int | None:
        """Its place in its batch, from 0; None if it was submitted by itself."""
        return position_of(self.id)

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments of the call."""
        return self._call()[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments of the call, those that its batch shares included."""
        return self._call()[1]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What was given as ``metadata``."""
        return self._row().metadata or {}

    @property
    def external_id(self) -> str | None:
        """The id it was given from outside."""
        return self._row().external_id

    @property
    def traceback(self) -> str | None:
        """The traceback of its last run that failed, with the source lines of notebook functions."""
        run = self._last_run()
        return None if run is None or run.traceback is None else named(run.traceback)

    @property
    def logs(self) -> str:
        """What its code printed and logged, head and tail: so far if it runs, else in its last run."""
        row = self._row()
        if row.log is not None or row.status is Status.DONE:
            return row.log or ""
        run = self._last_run()
        return "" if run is None else run.log or ""

    @property
    def progress(self) -> dict[str, Any] | None:
        """What the running code last said with ``goque.context().progress``: done, total and note."""
        progress: dict[str, Any] | None = self._row().progress
        return progress

    @property
    def run_s(self) -> float | None:
        """Seconds that its last run took, None before it ended."""
        row: TaskRow | RunRow | None = self._row()
        if row is not None and (row.started_at is None or row.finished_at is None):
            row = self._last_run()
        if row is None or row.started_at is None or row.finished_at is None:
            return None
        return (row.finished_at - row.started_at).total_seconds()

    @property
    def worker(self) -> int | None:
        """The number of the worker that holds it, or that ran it last."""
        holder = self._row().worker_id
        if holder is not None:
            return holder
        run = self._last_run()
        return None if run is None else run.worker_id

    def retry(self, *, reset: bool = True, force: bool = False) -> Changed:
        """Run it again: when it failed or was canceled, with ``force`` also when it is done.

        ``reset`` sets its attempts to 0; otherwise one more is allowed.
        """
        self._core.require_writable()
        return self._retry(self._core.unit, reset, force)

    def run_here(self) -> Any:
        """The same call in this process, for the debugger. Nothing is stored."""
        from goque.payload import functions

        self._core.require_key()
        row = self._row()
        if row.function_hash is None:
            raise InvalidInput(
                f"the code of {row.type} is its workers'; jobs.run({row.type!r}, payload) runs it where it is"
            )
        lane = self._core.program_of(row.lane)
        with resolved(self._core.objects.get):
            function, (args, kwargs) = functions.load(lane), self._stored_call()
        return function(*args, **kwargs)

    # Inside

    def _cancel(self, unit: Unit, reason: str | None) -> bool:
        changed = unit.database.all(cancel.cancel_tasks([self.id], reason, owner=unit.owner))
        if changed:
            unit.database.drain(duplicates.share(changed), duplicates.STEP)
            unit.waker.say(Word.STOP)
        else:
            self._row(unit.database)
        return bool(changed)

    def _retry(self, unit: Unit, reset: bool, force: bool) -> Changed:
        changed = retry(unit, [(self.id, self.id)], reset=reset, force=force)
        row = self._row(unit.database)
        if changed:
            self._ended = None
            self._core.take_up([row.lane])
            if (batch := batch_of(self.id)) is not None:
                self._core.look_again(batch)
        return changed

    def _expect_change(self, unit: Unit) -> None:
        """What is known of its end may soon be wrong.

        Raises:
            NotCommitted, NotFound: it is not there for this unit.
        """
        if self._commit is not None:
            self._row(unit.database)
        self._ended = None

    def _outcome(self, timeout: float | None, stop: threading.Event | None = None) -> Ended:
        self._require_commit()
        if self._ended is None:
            facts = cache(self._facts)  # asked for inside the wait, which bears an outage
            warned: list[bool] = []

            def tick() -> None:
                if not warned and (why := nobody_can(self._core, facts()[0])) is not None:
                    warned.append(True)
                    self._core.say_nobody_can(why)

            for found in as_they_come(
                self._core,
                [(self.id, self.id)],
                lambda: facts()[:1],
                timeout=timeout,
                stop=stop,
                tick=patient(tick),
            ):
                self._ended = ended(self._core, found, facts()[1])
        if self._ended is None:
            raise CancelledError
        return self._ended

    def _require_commit(self) -> None:
        if self._commit is not None:
            self._commit.require(f"task {self.id}", reading.task(self.id))

    def _row(self, database: Verbs | None = None) -> TaskRow:
        if rows := (database or self._core.database).seen(reading.task(self.id)):
            return rows[0]
        self._require_commit()
        raise NotFound(f"there is no task {self.id}; q.tasks() lists those that there are")

    def _facts(self) -> tuple[int, str | None]:
        """Its lane, and the Python version that its function needs."""
        if self._lane is not None:
            return self._lane, python_version()
        row = self._row()
        return row.lane, row.python

    def _last_run(self) -> RunRow | None:
        return self._core.database.first(reading.last_run(self._source()))

    def _source(self) -> int:
        return self._row().same_as or self.id

    def _call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        with resolved(self._core.given):
            return self._stored_call()

    def _stored_call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        row = self._row()
        if row.same_as is not None:
            return Task(self._core, row.same_as)._stored_call()
        sealed, payload = self._core.database.one(reading.call(self.id))
        if sealed is None and row.function_hash is None:
            return (payload,), {}
        args, kwargs = self._core.decoder.arguments(self.id, row.function_hash, sealed)
        return args, (kwargs if self.batch is None else {**self._core.shared(self.batch), **kwargs})


def patient(tick: Callable[[], None], seconds: float = 5.0) -> Callable[[], None]:
    """Ticks that are not passed on before the waiting has taken a while."""
    began = time.monotonic()

    def wait_first() -> None:
        if time.monotonic() - began >= seconds:
            tick()

    return wait_first


async def awaited(wait: Callable[[threading.Event], Any], unwrap: Callable[[Any], Any]) -> Any:
    """Wait in a thread, for a coroutine, waking every now and then so that the loop can be interrupted."""
    stop = threading.Event()
    waiting = asyncio.ensure_future(asyncio.to_thread(wait, stop))
    try:
        while not waiting.done():
            await asyncio.wait([waiting], timeout=AWAIT_S)
    except BaseException:
        stop.set()
        waiting.cancel()
        raise
    return unwrap(waiting.result())


def _unwrapped(ended: Ended) -> Any:
    if ended.error is not None:
        raise ended.error
    return ended.value

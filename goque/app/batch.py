"""The handle of a map: many tasks as one object, from any process and after any restart. Not for: single tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from numbers import Integral
from typing import TYPE_CHECKING, Any, NoReturn, overload

from goque.app import verbs
from goque.app.core import Core
from goque.app.outcomes import ErrorPolicy, as_they_come, ended, in_order
from goque.app.panels import BatchShown
from goque.app.reasons import nobody_can
from goque.app.relaning import check_options, lane_for_retry
from goque.app.task import Task, awaited, patient
from goque.app.verbs import Changed
from goque.client.places import one_at, some_at
from goque.client.spans import Span, ids_of, size_of, spans_of, steps
from goque.client.units import Commit, Unit
from goque.errors import GoqueError, InvalidInput, NotFound, NotSerializable
from goque.model.eligibility import minor
from goque.model.identity import position_of, task_id
from goque.model.states import Counts, Status, statuses_of
from goque.notebook.cells import named_in
from goque.postgres.verbs import Verbs
from goque.queries import pause, reading
from goque.queries.moments import Word
from goque.queries.reading import BatchRow
from goque.queries.tally import COUNTERS

if TYPE_CHECKING:
    from pandas import DataFrame


class Batch:
    """The tasks of one map, in the order of its items. A part of it (a slice, ``where``, ``failed``) is a Batch too.

    Iterating gives results in input order as they come. ``id`` and ``name`` find it again: ``q.batch("name")``.
    """

    def __init__(
        self, core: Core, row: BatchRow, spans: Sequence[Span] | None = None, *, commit: Commit | None = None
    ) -> None:
        self._core = core
        self._row = row
        self._part = None if spans is None else list(spans)
        self._commit = commit

    # What it is

    @property
    def id(self) -> int:
        """Its number."""
        return self._row.id

    @property
    def name(self) -> str | None:
        """The name it was given."""
        return self._row.name

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self._row.owner

    @property
    def created_at(self) -> datetime:
        """When it was submitted, on the database's clock."""
        return self._row.created_at

    @property
    def total(self) -> int:
        """How many tasks there are."""
        return size_of(self._spans)

    def __len__(self) -> int:
        return self.total

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        """Whether both are the same tasks of the same batch, as they are known here."""
        return (
            isinstance(other, Batch)
            and (other._core, other.id) == (self._core, self.id)
            and list(other._spans) == list(self._spans)
        )

    def __hash__(self) -> int:
        return hash(self.id)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("result", "exception"):
                raise AttributeError(f"a batch has results(), and a task of it has {name}(): batch[0].{name}()")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> NoReturn:
        raise NotSerializable("a Batch cannot travel: pass batch.results(), or batch.id and find it again")

    def __repr__(self) -> str:
        title = "<Batch" + self._title().removeprefix("batch")
        try:
            counts = {status: number for status, number in self.counts().items() if number}
        except Exception:
            return title + ">"
        return title + ", " + (", ".join(f"{number:,} {status}" for status, number in counts.items()) or "empty") + ">"

    def _repr_html_(self) -> str | None:
        try:
            return self._shown().still()
        except Exception:  # a notebook shows the plain repr instead
            return None

    def _ipython_display_(self) -> None:
        try:
            self._shown().show()
        except GoqueError as error:
            raise NotImplementedError from error  # IPython takes the plain repr then

    @property
    def positions(self) -> list[int]:
        """The places of these tasks in their batch."""
        return [position_of(task) or 0 for task in ids_of(self._spans)]

    # Parts

    @overload
    def __getitem__(self, key: int) -> Task: ...
    @overload
    def __getitem__(self, key: slice | Iterable[int] | Iterable[bool]) -> Batch: ...
    def __getitem__(self, key: Any) -> Task | Batch:
        """A task by its place, or a part: by slice, by a list of places, or by a mask as long as the batch."""
        if isinstance(key, Integral) and not isinstance(key, bool):
            return self._task(one_at(self._spans, int(key)))
        return self._of(some_at(self._spans, key))

    def where(
        self, *, status: Status | str | Sequence[Status | str] | None = None, error_type: str | type | None = None
    ) -> Batch:
        """The tasks in this state, or whose last failure was of this type, as they are now: later changes do not count.

        ``error_type`` is a class or its name, with or without the module.
        """
        wanted = None if status is None else statuses_of(status)
        name = f"{error_type.__module__}.{error_type.__qualname__}" if isinstance(error_type, type) else error_type
        found: list[int] = []
        for first, last in steps(self._spans, 20_000):
            found += self._core.database.all(reading.matching(first, last, wanted, name))
        return self._of(spans_of(found))

    def failed(self) -> Batch:
        """The tasks of which a run failed: those in ``error`` and in ``attempts_left``."""
        return self.where(status=[Status.ERROR, Status.ATTEMPTS_LEFT])

    def tasks(self) -> list[Task]:
        """The tasks one by one."""
        return [self._task(task) for task in ids_of(self._spans)]

    # Waiting

    def __iter__(self) -> Iterator[Any]:
        return in_order(self._core, self._spans, self._lanes, self._python, tick=self._tick())

    def results(self, errors: ErrorPolicy = "raise", timeout: float | None = None) -> list[Any]:
        """All results in input order, waiting for them up to ``timeout`` seconds.

        ``errors``: "raise" the first one, "return" exceptions in the place of results, or "skip" them.

        Raises:
            TimeoutError: some have not ended by then; they go on.
        """
        return list(
            in_order(
                self._core, self._spans, self._lanes, self._python, errors=errors, timeout=timeout, tick=self._tick()
            )
        )

    def as_completed(self, timeout: float | None = None) -> Iterator[Task]:
        """The tasks as they end, results at hand."""
        rows = as_they_come(self._core, self._spans, self._lanes, timeout=timeout, tick=self._tick(), values=True)
        for row in rows:
            task = Task(self._core, row.id)
            task._ended = ended(self._core, row, self._python)
            yield task

    def wait(self, timeout: float | None = None) -> Batch:
        """Wait until every task has ended.

        Raises:
            TimeoutError: some have not within ``timeout`` seconds; they go on.
        """
        for _ in as_they_come(self._core, self._spans, self._lanes, timeout=timeout, tick=self._tick()):
            pass
        return self

    def done(self) -> bool:
        """Whether every task has ended."""
        return sum(number for status, number in self.counts().items() if status.final) >= self.total

    def __await__(self) -> Generator[Any, None, list[Any]]:
        def wait(stop: threading.Event) -> None:
            for _ in as_they_come(self._core, self._spans, self._lanes, stop=stop):
                pass

        return awaited(wait, lambda _: self.results()).__await__()

    def progress(self) -> Batch:
        """Wait with something to look at: a line on terminals, the panel in notebooks. An interrupt only ends that."""
        self._shown().wait()
        return self

    # Looking

    def counts(self) -> Counts:
        """How many tasks stand in each status, shown without the zeros.

        For a whole batch no row is counted, however many there are.
        """
        self._require_commit()
        if self._part is not None:
            found = verbs.statuses(self._core, self._part)
            return Counts({status: found.get(status, 0) for status in Status})
        numbers = self._core.database.one(reading.counts(self.id))
        return Counts(zip(COUNTERS, numbers, strict=True))

    def inputs(self) -> list[Any]:
        """The items, in order: one argument as itself, several as a tuple, keyword arguments as a dict."""
        return [value for _, value in self._inputs()]

    def errors(self) -> DataFrame:
        """Failures grouped by exception type, last line of the user's code and message, with an example of each.

        Messages that differ only in numbers and quoted text are one group: ``error`` has marks there.
        """
        from goque.history import frames

        return named_in(frames.errors(self._core.database, spans=self._spans))

    def history(self, **filters: Any) -> DataFrame:
        """``q.history`` of this batch."""
        from goque.history import frames

        return named_in(frames.history(self._core.database, within=self._spans, **filters))

    def to_frame(self, inputs: bool = True, expand: bool = True) -> DataFrame:
        """One row per item: position, status, its input and its value, or its error. Never blocks, never raises.

        With ``expand``, inputs and values that are mappings get a column per key.
        """
        from goque.app.rows import batch_frame

        return batch_frame(self._core, self._spans, self._python, self._row, inputs=inputs, expand=expand)

    # Verbs

    def cancel(self, reason: str | None = None) -> Changed:
        """Cancel what has not ended; code that runs is stopped."""
        self._core.require_writable()
        return self._cancel(self._core.unit, reason)

    def pause(self) -> Batch:
        """Start no more of its tasks. What runs goes on; what waits in workers goes back within a second."""
        return self._set_paused(True)

    def resume(self) -> Batch:
        """Take back ``pause``, and have local workers take it up."""
        self._set_paused(False)
        self._core.new_lanes(self.id)
        return self

    def retry(
        self, func: Callable[..., Any] | None = None, *, reset: bool = True, force: bool = False, **options: Any
    ) -> Changed:
        """Run failed and canceled tasks again, with a corrected function if one is given (``force``: done ones too).

        ``reset`` sets attempts to 0; otherwise one more is allowed. ``options`` may change queue, priority, timeout,
        max_attempts, tags and the retry policy.
        """
        self._core.require_writable()
        check_options(options)
        return self._retry(self._core.unit, reset, force, func, options)

    def delete(self, force: bool = False) -> int:
        """Remove the whole batch for good: tasks, results, records. How many tasks there were.

        ``force`` cancels first what has not ended.

        Raises:
            InUse: it is unfinished, or tasks of other batches share outcomes of it by their external ids.
        """
        if self._part is not None:
            raise InvalidInput("delete is for whole batches; q.batch(id) is the whole one")
        self._core.require_writable()
        return verbs.delete_batch(self._core.unit, self.id, self._fresh(self._core.database).total, force=force)

    # Inside

    def _cancel(self, unit: Unit, reason: str | None) -> Changed:
        if self._part is None:
            return verbs.cancel_batch(unit, self.id, self._fresh(unit.database).total, reason)
        return verbs.cancel(unit, self._part, reason)

    def _retry(
        self,
        unit: Unit,
        reset: bool,
        force: bool,
        func: Callable[..., Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Changed:
        options = options or {}
        changed = verbs.retry(
            unit,
            self._spans,
            reset=reset,
            force=force,
            lane=lambda: lane_for_retry(self._core, unit.database, self.id, func, options),
            max_attempts=options.get("max_attempts"),
        )
        self._core.new_lanes(self.id)
        return changed

    def _task(self, id: int) -> Task:
        return Task(self._core, id, commit=self._commit)

    def _shown(self) -> BatchShown:
        return BatchShown(self._core, self, self._title() + self._reused(), self._spans, whole=self._part is None)

    def _title(self) -> str:
        part = "" if self._part is None else f"{self.total:,} of "
        name = f" {self.name!r}" if self.name else ""
        return f"batch {self.id}{name}: {part}{self._row.total:,} x {self._row.type.removeprefix('__main__.')}"

    def _reused(self) -> str:
        """How many tasks took the outcome of another one, and how many are left to run themselves."""
        if self._part is not None or not self._spans:
            return ""
        reused = self._core.database.one(reading.sharing(*self._spans[0]))
        return f", {reused:,} reused, {self.total - reused:,} new" if reused else ""

    @property
    def _spans(self) -> list[Span]:
        if self._part is not None:
            return self._part
        return [(task_id(self.id, 0), task_id(self.id, self._row.total) - 1)] if self._row.total else []

    @property
    def _python(self) -> str:
        return minor(self._row.environment.get("python", ""))

    def _require_commit(self) -> None:
        if self._commit is not None:
            self._commit.require(f"batch {self.id}", reading.batch_by_id(self.id))

    def _lanes(self) -> tuple[int, ...]:
        self._require_commit()
        return self._core.lanes_of(self.id)

    def _of(self, spans: Sequence[Span]) -> Batch:
        return Batch(self._core, self._row, spans, commit=self._commit)

    def _fresh(self, database: Verbs) -> BatchRow:
        row = database.first(reading.batch_by_id(self.id))
        if row is None:
            self._require_commit()
            raise NotFound(f"batch {self.id} is not there any more")
        self._row = row
        return row

    def _inputs(self) -> Iterator[tuple[int, Any]]:
        from goque.app.rows import item_of

        shared = self._core.shared(self.id)
        for span in steps(self._spans, 5_000):
            for task, source, sealed in self._core.database.all(reading.inputs([span])):
                yield task, item_of(*self._core.decoder.arguments(source, None, sealed), shared)

    def _tick(self) -> Callable[[], None]:
        """Say it once when nobody alive can run this."""
        said: list[str] = []

        def tick() -> None:
            reasons = [] if said else [nobody_can(self._core, lane) for lane in self._lanes()]
            if reasons and (why := reasons[-1]) is not None and all(reasons):
                said.append(why)
                self._core.say_nobody_can(why)

        return patient(tick)

    def _set_paused(self, paused: bool) -> Batch:
        if self._part is not None:
            raise InvalidInput("pause and resume are for whole batches and queues; q.batch(id) is the whole one")
        self._core.require_writable()
        self._core.database.run(pause.pause_batch(self.id, paused))
        self._core.waker.say(Word.STOP if paused else Word.WORK)
        self._row = self._row._replace(paused=paused)
        return self

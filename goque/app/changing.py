"""Canceling and retrying whatever is named: tasks, batches, ids, frames, filters. Not for: the steps (``verbs``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from itertools import groupby
from operator import index
from typing import Any, SupportsIndex

from goque.app import verbs
from goque.app.batch import Batch
from goque.app.core import Core
from goque.app.task import Task
from goque.app.verbs import NOT_THERE, Changed
from goque.client.spans import Span, pieces, size_of, spans_of
from goque.client.units import Unit
from goque.errors import InvalidInput, NotFound
from goque.model.identity import SPAN, batch_of
from goque.postgres.verbs import Verbs
from goque.queries import lanes, reading
from goque.queries.reading import BatchRow

What = Any
"""A task, a batch, the id of a task, the name of a batch, a frame of tasks or of their history, or several of these."""


class Changing(ABC):
    """Cancels and retries in a unit, which a queue and a transaction of the application have their own of."""

    _core: Core

    @abstractmethod
    def _unit(self) -> Unit:
        """Where it is stored."""

    def cancel(self, *what: What, reason: str | None = None, **filters: Any) -> Changed:
        """Cancel what has not ended; code that runs is stopped.

        Args:
            what: tasks and batches as they are, ids of tasks, names of batches, lists of these, or a frame of
                ``q.tasks()`` or ``q.history()``.
            reason: kept with the tasks, and said by ``TaskCanceled``.
            filters: instead, those of ``q.tasks``: ``q.cancel(queue="etl", since="2h")``. Tasks are meant that match
                when this begins.
        """

        def cancel_batch(unit: Unit, batch: Batch) -> Changed:
            return batch._cancel(unit, reason)

        def cancel_singles(unit: Unit, spans: list[Span]) -> Changed:
            return verbs.cancel(unit, spans, reason)

        return self._change("cancel", what, filters, cancel_batch, cancel_singles)

    def retry(self, *what: What, reset: bool = True, force: bool = False, **filters: Any) -> Changed:
        """Run failed and canceled tasks again, with ``force`` also those that are done.

        Args:
            what: as ``cancel`` takes it.
            reset: count attempts from 0 again; otherwise one more is allowed.
            filters: instead, those of ``q.tasks``: ``q.retry(status="attempts_left", since="2h")``.
        """

        def retry_batch(unit: Unit, batch: Batch) -> Changed:
            return batch._retry(unit, reset, force)

        def retry_singles(unit: Unit, spans: list[Span]) -> Changed:
            changed = verbs.retry(unit, spans, reset=reset, force=force)
            for piece in pieces(spans, 10_000) if changed else ():
                self._core.take_up(unit.database.all(lanes.lanes_within(piece)))
            return changed

        return self._change("retry", what, filters, retry_batch, retry_singles)

    # Inside

    def _change(
        self,
        verb: str,
        what: tuple[What, ...],
        filters: dict[str, Any],
        batches: Callable[[Unit, Batch], Changed],
        singles: Callable[[Unit, list[Span]], Changed],
    ) -> Changed:
        """Batches change by themselves, since some of them need new lanes; what belongs to none changes together."""
        from goque.history import frames

        self._core.require_writable()
        if bool(what) == bool(filters):
            raise InvalidInput(
                f'say what to {verb}, by itself or by filters: q.{verb}(batch), q.{verb}(17, 18), q.{verb}(queue="etl")'
            )
        unit = self._unit()
        whole: list[Batch] = []
        ids: set[int] = set()
        if filters:
            ids.update(frames.ids(unit.database, verb, owner_name=self._core.settings.owner, **filters))
        for one in what:
            self._collect(unit, one, whole, ids)
        changed = sum((batches(unit, batch) for batch in whole), Changed(0))
        for number, some in groupby(_within_batches(spans_of(ids)), lambda span: batch_of(span[0])):
            part = list(some)
            if number is None:
                changed += singles(unit, part)
            elif rows := unit.database.seen(reading.batch_by_id(number)):
                changed += batches(unit, Batch(self._core, rows[0], part))
            else:
                changed += Changed(0, {NOT_THERE: size_of(part)})
        return changed

    def _collect(self, unit: Unit, one: What, whole: list[Batch], ids: set[int]) -> None:
        if isinstance(one, Batch):
            whole.append(one)
        elif isinstance(one, Task):
            one._expect_change(unit)
            ids.add(one.id)
        elif isinstance(one, str):
            whole.append(Batch(self._core, self._batch_row(unit.database, one)))
        elif hasattr(one, "columns") and hasattr(one, "iloc"):
            ids.update(_ids_of_frame(one))
        elif hasattr(one, "__index__") and not isinstance(one, bool):
            ids.add(int(one.__index__()))
        elif isinstance(one, Iterable) and not isinstance(one, bytes):
            for each in one:
                self._collect(unit, each, whole, ids)
        else:
            raise InvalidInput(f"{one!r} is no task, batch, id, name or frame")

    def _batch_row(self, database: Verbs, key: SupportsIndex | str) -> BatchRow:
        if isinstance(key, str):
            owner, _, name = key.rpartition("/")
            found = database.seen(reading.batch_by_name(owner or self._core.settings.owner, name))
        else:
            found = database.seen(reading.batch_by_id(read_id("a batch", key, "its id, a number, or its name")))
        if not found:
            raise NotFound(f"there is no batch {key!r}; q.batches() lists them")
        return found[0]


def read_id(what: str, given: object, named_by: str) -> int:
    """An id as a user gives it."""
    try:
        return index(given)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidInput(f"{what} is found by {named_by}, not by {given!r}") from None


def _ids_of_frame(frame: Any) -> list[int]:
    """The tasks of a frame: ``task_id`` where it tells runs, ``id`` where it tells tasks."""
    for name in ("task_id", "id"):
        if name in frame.columns and "unfinished" not in frame.columns:
            return [int(id) for id in frame[name].dropna().unique()]
    raise InvalidInput("a frame of tasks has a column task_id, as q.history() has, or id, as q.tasks() has")


def _within_batches(spans: Iterable[Span]) -> Iterable[Span]:
    """The ranges cut where one batch, or all that belongs to none, ends."""
    for first, last in spans:
        while batch_of(first) != batch_of(last):
            end = (first // SPAN + 1) * SPAN - 1
            yield first, end
            first = end + 1
        yield first, last

"""What happened, as DataFrames with the same dtypes whatever the data. Not for: the SQL (``queries.looking``)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from goque.errors import HistoryTruncated
from goque.model.identity import FIRST_BATCH, LAST_BATCH
from goque.model.states import FAILED
from goque.postgres.verbs import Verbs
from goque.queries import looking
from goque.queries.filters import Filters, filters_of
from goque.sql import Query, select, statement_of
from goque.sql import queues as queues_view
from goque.sql import schedules as schedules_view
from goque.sql import workers as workers_view
from goque.sql.columns import columns_of

if TYPE_CHECKING:
    from pandas import DataFrame

Spans = Sequence[tuple[int, int]]
_NOTHING: Spans = ((0, -1),)
_COUNTED = 100_000
"""Rows are counted up to here when a limit cut some: a warning must not cost more than the look itself."""


def history(
    database: Verbs, *, owner_name: str | None = None, within: Spans = looking.EVERYTHING, **given: Any
) -> DataFrame:
    """Every run, and every task that has not run, newest first; ``within`` are the ranges of ids to look at."""
    filters = filters_of(given, what="history", without=(), columns=looking.HISTORY)
    spans = _overlap(_spans(database, filters, owner_name), within) or _NOTHING
    frame = _fetched(database, looking.history(filters), "history", filters, spans)
    return _told(database, frame, filters, spans, looking.history_size)


def tasks(database: Verbs, *, owner_name: str | None = None, **given: Any) -> DataFrame:
    """One row per task, newest first."""
    without = ("outcome", "task_status", "error_type", "error")
    filters = filters_of(given, what="tasks", without=without, columns=looking.TASKS)
    spans = _spans(database, filters, owner_name)
    frame = _fetched(database, looking.task_rows(filters), "tasks", filters, spans)
    return _told(database, frame, filters, spans, looking.tasks_size)


def batches(database: Verbs, *, owner_name: str | None = None, **given: Any) -> DataFrame:
    """One row per batch with its counts, newest first."""
    kept = ("since", "until", "type", "batch", "owner", "columns", "order_by", "limit")
    without = [name for name in Filters.__dataclass_fields__ if name not in kept] + ["failed"]
    filters = filters_of(given, what="batches", without=without, columns=looking.BATCHES)
    ids = None if filters.batch is None else _batches(database, filters.batch, owner_name)
    return _told(database, _fetch(database, looking.batch_rows(filters, ids), "batches", few=True), filters, (), None)


def queues(database: Verbs) -> DataFrame:
    """One row per queue: depth by state, age of the oldest ready task, whether it is paused."""
    columns = columns_of(queues_view)
    return _fetch(database, select(*columns).from_(queues_view).order_by(columns[0]), "queues", few=True)


def workers(database: Verbs, *, alive: bool | None = None) -> DataFrame:
    """One row per worker, newest first; only the living or only the gone ones where ``alive`` says so."""
    query = select(*columns_of(workers_view)).from_(workers_view).order_by(workers_view.id.desc())
    if alive is not None:
        query = query.where(workers_view.alive if alive else ~workers_view.alive)
    return _fetch(database, query, "workers", few=True)


def schedules(database: Verbs) -> DataFrame:
    """One row per schedule that is declared, by name."""
    columns = columns_of(schedules_view)
    return _fetch(database, select(*columns).from_(schedules_view).order_by(columns[0]), "schedules", few=True)


def errors(database: Verbs, *, spans: Spans) -> DataFrame:
    """Failures grouped by exception type, last line of the user's code and message, most frequent first."""
    values = looking.span_values(spans or _NOTHING)
    return _fetch(database, looking.failures(), "errors", values, few=True)


def frame_of(database: Verbs, query: Query[Any]) -> DataFrame:
    """The rows of a query of the user's."""
    return _fetch(database, query, "select")


def rows_frame(columns: Mapping[str, Sequence[Any]]) -> DataFrame:
    """Columns of Python values as a frame: each gets the dtype of its values, and objects stay as they are."""
    import pandas

    from goque.history.dtypes import series_of

    return pandas.DataFrame({name: series_of(name, values) for name, values in columns.items()})


def _fetch(
    database: Verbs, query: Query[Any], name: str, values: Mapping[str, object] | None = None, *, few: bool = False
) -> DataFrame:
    from goque.history.fetching import fetch

    return fetch(database, query, name=name, values=values, few=few)


def _fetched(database: Verbs, query: Query[Any], name: str, filters: Filters, spans: Spans) -> DataFrame:
    from goque.history.fetching import FEW

    return _fetch(database, query, name, looking.span_values(spans), few=filters.limit <= FEW)


def _spans(database: Verbs, filters: Filters, me: str | None) -> Spans:
    """The ranges of ids that the filters leave."""
    spans = looking.EVERYTHING
    if filters.batch is not None:
        spans = [looking.span_of(batch) for batch in _batches(database, filters.batch, me)]
    if filters.task is not None:
        spans = _overlap(spans, [(task, task) for task in filters.task])
    return spans or _NOTHING


def _overlap(some: Spans, others: Spans) -> Spans:
    """The ids that are in both."""
    both = ((max(first, start), min(last, end)) for first, last in some for start, end in others)
    return [(first, last) for first, last in both if first <= last]


def _batches(database: Verbs, keys: Sequence[int | str], me: str | None) -> list[int]:
    """The ids of batches given by id or by name; what can be no batch, and names that nobody uses, give none."""
    names = [key for key in keys if isinstance(key, str)]
    found = database.all(looking.batches_called(names, me)) if names else []
    return [*(key for key in keys if isinstance(key, int) and FIRST_BATCH <= key <= LAST_BATCH), *found]


def _told(
    database: Verbs,
    frame: DataFrame,
    filters: Filters,
    spans: Spans,
    size: Callable[[Filters, int], Query[Any]] | None,
) -> DataFrame:
    """The frame with what it shows in ``attrs``, and a warning when the limit cut something."""
    frame.attrs["as_of"] = database.one(looking.moment()).isoformat()
    frame.attrs["filters"] = {
        field.name: value for field in fields(filters) if (value := getattr(filters, field.name)) not in (None, ())
    }
    if size is None or len(frame) < filters.limit:
        return frame

    def counted(of: Filters) -> int:
        query = size(of, len(frame) + _COUNTED)
        number: int = database.one(statement_of(query, name="size", values=looking.span_values(spans)))[0]
        return number

    missing = counted(filters) - len(frame)
    if missing > 0:
        failures = counted(replace(filters, status=FAILED & (filters.status or FAILED)))
        if "failed" in frame:
            failures -= int(frame["failed"].sum())
        more = "over " if missing >= _COUNTED else ""
        cut = f", {failures:,} of them failures" if "failed" in frame else f"; {failures:,} failures there are in all"
        warnings.warn(
            f"limit={filters.limit:,} left out {more}{missing:,} rows{cut}. Narrow it with since=, batch= or "
            "status='error', or raise limit=",
            HistoryTruncated,
            stacklevel=4,
        )
    return frame

"""What happened, as DataFrames with the same dtypes whatever the data. Not for: the SQL (``queries.looking``)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goque.errors import HistoryTruncated
from goque.model.states import FAILED
from goque.postgres.verbs import Verbs
from goque.queries import looking
from goque.queries.filters import Filters, filters_of
from goque.sql import Query, select, statement_of
from goque.sql import queues as queues_view
from goque.sql import workers as workers_view
from goque.sql.columns import columns_of

if TYPE_CHECKING:
    from pandas import DataFrame

Spans = Sequence[tuple[int, int]]
_NOTHING: Spans = ((0, -1),)
_COUNTED = 10_000_000
"""Rows are counted up to here when a limit cut some."""


def history(database: Verbs, *, owner_name: str | None = None, **given: Any) -> DataFrame:
    """Every run, and every task that has not run, newest first."""
    filters = filters_of(given, what="history", without=(), columns=looking.HISTORY)
    spans = _spans(database, filters, owner_name)
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


def errors(database: Verbs, *, spans: Spans) -> DataFrame:
    """Failures grouped by exception type, last line of the user's code and message, most frequent first."""
    values = looking.span_values(spans or _NOTHING)
    return _fetch(database, looking.failures(), "errors", values, few=True)


def frame_of(database: Verbs, query: Query[Any]) -> DataFrame:
    """The rows of a query of the user's."""
    return _fetch(database, query, "select")


def rows_frame(columns: Mapping[str, Sequence[Any]]) -> DataFrame:
    """Columns of Python values as a frame; numbers and texts get their dtypes, anything else stays as it is."""
    import pandas

    return pandas.DataFrame(
        {name: pandas.Series(list(values), dtype=object) for name, values in columns.items()}
    ).infer_objects()


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
    if filters.task is not None:
        return [(task, task) for task in filters.task] or _NOTHING
    if filters.batch is None:
        return looking.EVERYTHING
    return [looking.span_of(batch) for batch in _batches(database, filters.batch, me)] or _NOTHING


def _batches(database: Verbs, keys: Sequence[int | str], me: str | None) -> list[int]:
    """The ids of batches given by id or by name; unknown names give none."""
    names = [key for key in keys if isinstance(key, str)]
    found = database.all(looking.batches_called(names, me)) if names else []
    return [*(key for key in keys if isinstance(key, int)), *found]


def _told(
    database: Verbs,
    frame: DataFrame,
    filters: Filters,
    spans: Spans,
    size: Callable[[Filters, int], Query[Any]] | None,
) -> DataFrame:
    """The frame with what it shows in ``attrs``, and a warning when the limit cut something."""
    frame.attrs["as_of"] = database.one(looking.moment()).isoformat()
    if size is not None and len(frame) >= filters.limit:
        values = looking.span_values(spans)
        total = database.one(statement_of(size(filters, _COUNTED), name="size", values=values))[0]
        if total > len(frame):
            from dataclasses import replace

            failed = replace(filters, status=frozenset(FAILED) & (filters.status or frozenset(FAILED)))
            failures = database.one(statement_of(size(failed, _COUNTED), name="size", values=values))[0]
            shown = int(frame["failed"].sum()) if "failed" in frame else 0
            warnings.warn(
                f"limit={filters.limit:,} left out {total - len(frame):,} rows, {max(0, failures - shown):,} of them "
                "failures; narrow it with since=, batch= or status='error', or raise limit=",
                HistoryTruncated,
                stacklevel=4,
            )
    return frame

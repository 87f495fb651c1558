"""What happened, as DataFrames with the same dtypes whatever the data. Not for: the SQL (``queries.looking``)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from goque.errors import HistoryTruncated, NotPermitted
from goque.model.identity import FIRST_BATCH, LAST_BATCH
from goque.model.states import FAILED, Status
from goque.postgres.verbs import Verbs
from goque.queries import chronicle, listing, looking, narrowing
from goque.queries.filters import NAMES, Filters, filters_of
from goque.queries.running import running as running_now
from goque.sql import Query, select, statement_of
from goque.sql import schedules as schedules_view
from goque.sql.columns import columns_of

if TYPE_CHECKING:
    from pandas import DataFrame

_FAILED_RUNS = frozenset({Status.ERROR})
Spans = Sequence[tuple[int, int]]
_SHOWN = ("columns", "order_by", "limit")
_KEYS = {"task_id": {"task_id", "run"}, "id": {"id"}}
"""What tells rows apart, by the column of ids."""
_NOTHING: Spans = ((0, -1),)
_COUNTED = 100_000
"""Rows are counted up to here when a limit cut some: a warning must not cost more than the look itself."""


def history(
    database: Verbs, *, owner_name: str | None = None, within: Spans = looking.EVERYTHING, **given: Any
) -> DataFrame:
    """Every run, and every task that has not run, newest first; ``within`` are the ranges of ids to look at."""
    filters = filters_of(given, what="history", without=(), columns=chronicle.HISTORY)
    spans = _overlap(_spans(database, filters, owner_name), within) or _NOTHING
    # A run keeps its status when its task has another by now: only what task rows tell can be in fewer places.
    values = chronicle.values(spans, _narrowed(database, filters, spans))
    frame = _permitted(
        lambda arguments: _fetched(
            database, chronicle.history(filters, arguments=arguments), "history", filters, values
        )
    )
    return _told(database, frame, filters, values, chronicle.history_size)


def tasks(database: Verbs, *, owner_name: str | None = None, **given: Any) -> DataFrame:
    """One row per task, newest first."""
    without = ("outcome", "task_status", "error_type", "error")
    filters = filters_of(given, what="tasks", without=without, columns=listing.TASKS)
    values = looking.span_values(_narrowed(database, filters, _spans(database, filters, owner_name)))
    frame = _fetched(database, listing.task_rows(filters), "tasks", filters, values)
    return _told(database, frame, filters, values, listing.tasks_size)


def count(database: Verbs, *, owner_name: str | None = None, **given: Any) -> int:
    """How many tasks there are. No task is counted one by one where the tally tells them apart."""
    without = ("outcome", "task_status", "error_type", "error", "columns", "order_by", "limit", "after")
    filters = filters_of(given, what="count", without=without, columns=())
    asked = {name for name, value in _given(filters).items() if name != "limit"}
    if asked <= set(listing.TALLIED):
        ids = None if filters.batch is None else _batches(database, filters.batch, owner_name)
        query, values = listing.tallied(filters, ids), None
    else:
        query = listing.tasks_size(filters, None)
        values = looking.span_values(_spans(database, filters, owner_name))
    number: int = database.one(statement_of(query, name="count", values=values))[0]
    return number


def ids(database: Verbs, verb: str, *, owner_name: str | None = None, **given: Any) -> list[int]:
    """The ids of the tasks that filters of ``tasks`` let pass."""
    without = ("outcome", "task_status", "error_type", "error", "columns", "order_by", "limit", "after")
    filters = filters_of(given, what=verb, without=without, columns=())
    values = looking.span_values(_spans(database, filters, owner_name))
    rows = database.stream(statement_of(listing.task_ids(filters), name=verb, values=values), chunk=20_000)
    return [id for id, _ in rows]


def batches(database: Verbs, *, owner_name: str | None = None, **given: Any) -> DataFrame:
    """One row per batch with its counts, newest first."""
    kept = ("status", "failed", "since", "until", "type", "batch", "owner", "metadata", "after", *_SHOWN)
    filters = _filters(given, "batches", kept, listing.BATCHES)
    ids = None if filters.batch is None else _batches(database, filters.batch, owner_name)
    return _told(database, _fetch(database, listing.batch_rows(filters, ids), "batches", few=True), filters, {}, None)


def queues(database: Verbs, **given: Any) -> DataFrame:
    """One row per queue: depth by state, age of the oldest ready task, whether it is paused."""
    filters = _filters(given, "queues", ("queue", *_SHOWN), listing.QUEUES)
    return _fetch(database, listing.queue_rows(filters), "queues", few=True)


def workers(database: Verbs, *, alive: bool | None = None, **given: Any) -> DataFrame:
    """One row per worker, newest first; only the living or only the gone ones where ``alive`` says so."""
    kept = ("worker", "owner", "since", "until", *_SHOWN)
    filters = _filters(given, "workers", kept, listing.WORKERS)
    return _fetch(database, listing.worker_rows(filters, alive), "workers", few=True)


def _filters(given: Mapping[str, Any], what: str, kept: Collection[str], columns: Sequence[str]) -> Filters:
    return filters_of(given, what=what, without=[name for name in NAMES if name not in kept], columns=columns)


def schedules(database: Verbs) -> DataFrame:
    """One row per schedule that is declared, by name."""
    columns = columns_of(schedules_view)
    return _fetch(database, select(*columns).from_(schedules_view).order_by(columns[0]), "schedules", few=True)


def running(database: Verbs, limit: int) -> DataFrame:
    """The tasks that run now, the longest first."""
    return _fetch(database, running_now(limit), "running", few=True)


def errors(database: Verbs, *, spans: Spans) -> DataFrame:
    """Failures grouped by exception type, last line of the user's code and message, most frequent first."""
    values = looking.span_values(spans or _NOTHING)
    return _permitted(
        lambda arguments: _fetch(database, listing.failures(arguments=arguments), "errors", values, few=True)
    )


def frame_of(database: Verbs, query: Query[Any]) -> DataFrame:
    """The rows of a query of the user's."""
    return _fetch(database, query, "select")


def rows_frame(columns: Mapping[str, Sequence[Any]]) -> DataFrame:
    """Columns of Python values as a frame: each gets the dtype of its values, and objects stay as they are."""
    import pandas

    from goque.history.dtypes import series_of

    return pandas.DataFrame({name: series_of(name, values) for name, values in columns.items()})


def _permitted(look: Callable[[bool], DataFrame]) -> DataFrame:
    """Look with arguments, and without them where this session's role is not shown any."""
    try:
        return look(True)
    except NotPermitted:
        frame = look(False)
    warnings.warn("this database role is not shown arguments: args_repr is empty", stacklevel=4)
    return frame


def _fetch(
    database: Verbs, query: Query[Any], name: str, values: Mapping[str, object] | None = None, *, few: bool = False
) -> DataFrame:
    from goque.history.fetching import fetch

    return fetch(database, query, name=name, values=values, few=few)


def _fetched(database: Verbs, query: Query[Any], name: str, filters: Filters, values: dict[str, object]) -> DataFrame:
    from goque.history.fetching import FEW

    return _fetch(database, query, name, values, few=filters.limit <= FEW)


def _spans(database: Verbs, filters: Filters, me: str | None) -> Spans:
    """The ranges of ids that the filters leave."""
    spans = looking.EVERYTHING
    if filters.batch is not None:
        spans = [looking.span_of(batch) for batch in _batches(database, filters.batch, me)]
    if filters.task is not None:
        spans = _overlap(spans, [(task, task) for task in filters.task])
    return spans or _NOTHING


def _narrowed(database: Verbs, filters: Filters, spans: Spans) -> Spans:
    """Those parts of the ranges in which there are tasks of the wanted statuses and lanes, where these are rare."""
    if not narrowing.can_narrow(filters):
        return spans
    found = narrowing.spans_of(database.all(narrowing.places(filters)), filters.limit)
    return spans if found is None else _overlap(spans, found) or _NOTHING


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
    values: dict[str, object],
    size: Callable[[Filters, int], Query[Any]] | None,
) -> DataFrame:
    """The frame with what it shows in ``attrs``, and a warning when the limit cut something."""
    frame.attrs["as_of"] = database.one(looking.moment()).isoformat()
    frame.attrs["filters"] = _given(filters)
    if looking.by_id(filters) is not None and (key := _KEYS[filters.order_by[0][0]]) <= set(frame):
        frame.attrs["next"] = _last(frame, key) if 0 < filters.limit <= len(frame) else None
        return frame
    if size is None or len(frame) < filters.limit:
        return frame

    def counted(of: Filters) -> int:
        query = size(of, len(frame) + _COUNTED)
        number: int = database.one(statement_of(query, name="size", values=values))[0]
        return number

    missing = counted(filters) - len(frame)
    if missing > 0:
        # Of very many rows only the records are asked, where failures are: to find that there are none among the tasks
        # would mean to read them all.
        failed = _FAILED_RUNS if missing >= _COUNTED else FAILED
        failures = counted(replace(filters, status=failed & (filters.status or failed)))
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


def _given(filters: Filters) -> dict[str, Any]:
    return {field.name: value for field in fields(filters) if (value := getattr(filters, field.name)) not in (None, ())}


def _last(frame: DataFrame, key: Collection[str]) -> Any:
    """What ``after=`` takes to go on behind this frame."""
    last = [None if frame[name].isna().iloc[-1] else int(frame[name].iloc[-1]) for name in sorted(key, reverse=True)]
    return last if len(last) > 1 else last[0]

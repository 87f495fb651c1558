"""Tasks, batches and failures as rows for people, and how many there are. Not for: runs (``chronicle``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add, or_
from typing import Any

from goque.model.states import Status
from goque.queries import looking
from goque.queries.filters import Filters
from goque.queries.looking import (
    beyond,
    contains,
    first_rows,
    in_order,
    most,
    one_of,
    plain_order,
    task_conditions,
    within,
    worker_is,
)
from goque.queries.statuses import FAILED, FINAL
from goque.queries.tally import COUNTERS
from goque.sql import (
    TEXT,
    Condition,
    Derived,
    Expression,
    Query,
    batches,
    case,
    clock_timestamp,
    coalesce,
    columns_of,
    count,
    function,
    lit,
    max_,
    min_,
    null,
    optional,
    present,
    queues,
    seconds,
    select,
    sum_,
    tasks,
    workers,
)
from goque.sql.tables import LANE, RUN, TALLY, TASK


def _tasks_within(filters: Filters, limit: int | None) -> Any:
    span = looking.span()
    conditions, lane_needed = task_conditions(filters)
    conditions += within(coalesce(TASK.finished_at, TASK.started_at, TASK.created_at), filters)
    if filters.status is not None:
        conditions.append(one_of(TASK.status, filters.status))
    if filters.worker is not None:
        conditions.append(worker_is(TASK.worker_id, filters.worker))
    if filters.longer_than is not None:
        until = case((TASK.status == lit(Status.PROCESSING), optional(clock_timestamp())), else_=TASK.finished_at)
        conditions.append(until - TASK.started_at > seconds(filters.longer_than))
    query = select(TASK.id, TASK.created_at).from_(TASK)
    if lane_needed:
        query = query.join(LANE, LANE.id == TASK.lane_id)
    conditions += beyond(TASK.id, None, filters)
    query = query.where(TASK.id >= span.first, TASK.id <= span.last, *conditions)
    rows = first_rows(query, filters, limit, TASK.id).sub("row")
    chosen: Any = select(rows.id, rows.created_at).from_(span).cross_join_lateral(rows)
    return chosen if limit is None else chosen.order_by(*in_order(filters, rows, {})).limit(limit)


TASKS: tuple[str, ...] = tuple(column.name for column in columns_of(tasks))
"""The columns of a look at tasks, in order: those of the view, and two that say what the status means."""
TASKS = (*TASKS[:3], "failed", "final", *TASKS[3:])


def task_rows(filters: Filters) -> Query[Any]:
    """One row per task; run it with ``span_values``."""
    chosen: Any = _tasks_within(filters, most(filters)).sub("chosen")
    known: dict[str, Expression[Any]] = {column.name: column for column in columns_of(tasks)}
    known |= {"failed": tasks.status.in_(FAILED), "final": tasks.status.in_(FINAL)}
    wanted = filters.columns or TASKS
    needed = dict.fromkeys((*wanted, *(name for name, _ in filters.order_by)))
    # The limit keeps the planner from joining the view as a whole, all tasks of it, before it looks at the chosen ones.
    shown: Any = (
        select(*(known[name].as_(name) for name in needed))
        .from_(tasks)
        .where(tasks.id == chosen.id)
        .limit(1)
        .sub("shown")
    )
    query = select(*(shown[name] for name in wanted)).from_(chosen).cross_join_lateral(shown)
    found: Query[Any] = query.order_by(*in_order(filters, chosen, shown)).limit(filters.limit)
    return found


def task_ids(filters: Filters) -> Query[Any]:
    """All tasks that the filters let pass, each id with when it was made; run it with ``span_values``."""
    found: Query[Any] = _tasks_within(filters, None)
    return found


def tasks_size(filters: Filters, at_most: int | None) -> Query[Any]:
    """How many tasks there are in all, counted up to ``at_most``; run it with ``span_values``."""
    return select(count().as_("n")).from_(
        _tasks_within(replace(filters, order_by=(), after=None), at_most).sub("chosen")
    )


TALLIED = ("status", "queue", "type", "owner", "batch")
"""What the tally tells apart, so that no task need be counted."""


def tallied(filters: Filters, batches: Sequence[int] | None) -> Query[Any]:
    """How many tasks there are, where only filters of ``TALLIED`` are given."""
    wanted = [column for status, column in COUNTERS.items() if filters.status is None or status in filters.status]
    number = coalesce(sum_(reduce(add, wanted, lit(0))), lit(0))
    conditions = task_conditions(filters)[0]
    if batches is not None:
        conditions.append(optional(LANE.batch_id).in_(list(batches)))
    query = select(number.as_("n")).from_(LANE).join(TALLY, TALLY.lane_id == LANE.id)
    return query.where(*conditions) if conditions else query


BATCHES: tuple[str, ...] = tuple(column.name for column in columns_of(batches))
"""The columns of a look at batches, in order."""


def batch_rows(filters: Filters, ids: Sequence[int] | None) -> Query[Any]:
    """One row per batch, newest first; these ids, or all. A status lets batches pass that have tasks in it."""
    conditions: list[Condition] = within(batches.changed_at, filters)
    if ids is not None:
        conditions.append(batches.id.in_(list(ids)))
    for column, wanted in ((batches.owner, filters.owner), (batches.type, filters.type)):
        if wanted is not None:
            conditions.append(column.in_(wanted))
    if filters.metadata is not None:
        conditions.append(contains(batches.metadata, filters.metadata))
    if filters.status is not None:
        there = [getattr(batches, status) > lit(0) for status in sorted(filters.status)]
        conditions.append(reduce(or_, there, lit(False)))
    conditions += beyond(batches.id, None, filters)
    columns = [getattr(batches, name) for name in filters.columns or BATCHES]
    query = select(*columns).from_(batches)
    if conditions:
        query = query.where(*conditions)
    found: Query[Any] = query.order_by(*plain_order(filters, batches), batches.id.desc()).limit(filters.limit)
    return found


WORKERS: tuple[str, ...] = tuple(column.name for column in columns_of(workers))
QUEUES: tuple[str, ...] = tuple(column.name for column in columns_of(queues))


def worker_rows(filters: Filters, alive: bool | None) -> Query[Any]:
    """One row per worker, newest first."""
    conditions: list[Condition] = within(workers.beat_at, filters)
    if alive is not None:
        conditions.append(workers.alive if alive else ~workers.alive)
    if filters.worker is not None:
        conditions.append(worker_is(workers.id, filters.worker))
    if filters.owner is not None:
        conditions.append(workers.owner.in_(filters.owner))
    query = select(*(getattr(workers, name) for name in filters.columns or WORKERS)).from_(workers)
    if conditions:
        query = query.where(*conditions)
    found: Query[Any] = query.order_by(*plain_order(filters, workers), workers.id.desc()).limit(filters.limit)
    return found


def queue_rows(filters: Filters) -> Query[Any]:
    """One row per queue, by name."""
    query = select(*(getattr(queues, name) for name in filters.columns or QUEUES)).from_(queues)
    if filters.queue is not None:
        query = query.where(queues.name.in_(filters.queue))
    found: Query[Any] = query.order_by(*plain_order(filters, queues), queues.name).limit(filters.limit)
    return found


# A limit also keeps the planner from reading the whole table, where it has no statistics, instead of a small index.
_MOST_SHARED = 1_000_000
_MASKED_CHARACTERS = 500
_MASKS = (
    (r"0x[0-9A-Fa-f]+", "#"),
    (r"(?<!\w)'[^']*'(?!\w)", "'…'"),
    (r'(?<!\w)"[^"]*"(?!\w)', '"…"'),
    (r"\d+([.,:]\d+)*", "#"),
)
"""What differs between messages of one kind of failure: addresses, quoted text, numbers."""


def failures(most: int = 1_000, *, arguments: bool = True) -> Query[Any]:
    """The failed tasks of some ranges, grouped by what went wrong in their last run; run it with ``span_values``.

    Messages that differ in numbers, addresses and quoted text only are of one group, whose ``error`` has marks in their
    places and whose ``example`` is one of them.

    A task that shares the failure of another counts with that one's last run.
    """
    span = looking.span()
    own = (
        _failed_runs(RUN.task_id >= span.first, RUN.task_id <= span.last)
        .distinct_on(RUN.task_id)
        .order_by(RUN.task_id, RUN.run.desc())
        .sub("own")
    )
    theirs = (
        select(TASK.id, optional(TASK.same_as).as_("source"))
        .from_(TASK)
        .where(TASK.id >= span.first, TASK.id <= span.last, TASK.same_as.is_not_null(), TASK.status.in_(FAILED))
        .order_by(TASK.id)
        .limit(_MOST_SHARED)
        .sub("theirs")
    )
    shared = _failed_runs(RUN.task_id == present(theirs.source)).order_by(RUN.run.desc()).limit(1).sub("shared")
    every: Any = (
        select(own.task_id, own.task_id.as_("source"), *_what_went_wrong(own))
        .from_(span)
        .cross_join_lateral(own)
        .join(TASK, TASK.id == own.task_id)
        .where(TASK.status.in_(FAILED))
        .union_all(
            select(theirs.id.as_("task_id"), shared.task_id.as_("source"), *_what_went_wrong(shared))
            .from_(span)
            .cross_join_lateral(theirs)
            .cross_join_lateral(shared)
        )
        .sub("every")
    )
    grouped: Derived = (
        select(
            every.error_type,
            every.user_frame,
            every.masked,
            case((min_(every.error) == max_(every.error), min_(every.error)), else_=every.masked).as_("error"),
            count().as_("n"),
            min_(every.task_id).as_("task_id"),
            min_(every.source).as_("source"),
            max_(every.finished_at).as_("last_at"),
        )
        .from_(every)
        .group_by(1, 2, 3)
        .order_by(count().desc())
        .limit(most)
        .sub("grouped")
    )
    sample = (
        select(
            RUN.error.as_("example"),
            RUN.traceback,
            (RUN.args_repr if arguments else null(TEXT)).as_("args_repr"),
        )
        .from_(RUN)
        .where(RUN.task_id == grouped.source, RUN.status == lit(Status.ERROR))
        .order_by(RUN.run.desc())
        .limit(1)
        .sub("sample")
    )
    found: Query[Any] = (
        select(
            grouped.error_type,
            grouped.user_frame,
            grouped.error,
            grouped.n.as_("count"),
            grouped.task_id,
            grouped.last_at,
            sample.args_repr,
            sample.example,
            sample.traceback,
        )
        .from_(grouped)
        .left_join_lateral(sample)
        .order_by(grouped.n.desc(), grouped.task_id)
    )
    return found


def _failed_runs(*conditions: Condition) -> Any:
    """Runs that failed."""
    return (
        select(RUN.task_id, RUN.outcome, RUN.error_type, RUN.user_frame, RUN.error, RUN.finished_at)
        .from_(RUN)
        .where(*conditions, RUN.status == lit(Status.ERROR))
    )


def _what_went_wrong(run: Any) -> tuple[Expression[Any], ...]:
    kind = coalesce(run.error_type, run.outcome.cast(TEXT)).as_("error_type")
    masked = function("left", TEXT, run.error, lit(_MASKED_CHARACTERS), nullable=True)
    for pattern, mark in _MASKS:
        masked = function("regexp_replace", TEXT, masked, pattern, mark, "g", nullable=True)
    return kind, run.user_frame, run.error, masked.as_("masked"), run.finished_at

"""Rows for people: runs, tasks, batches and failures, narrowed in the database. Not for: what a waiting client reads.

Nothing sorts all tasks: in the default order, newest first, each range of ids is read from the end of a primary key
until there are enough rows. Batch tasks have larger ids than single ones whatever their age, so those are two ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from goque.model.identity import FIRST_BATCH_TASK, SPAN
from goque.model.states import FAILED, FINAL, RunOutcome, Status
from goque.queries.filters import Filters, Moment
from goque.sql import (
    BIGINT,
    DOUBLE,
    INTEGER,
    TEXT,
    TIMESTAMPTZ,
    Bind,
    Condition,
    Derived,
    Expression,
    Query,
    Statement,
    array,
    batches,
    case,
    clock_timestamp,
    coalesce,
    columns_of,
    concat,
    count,
    epoch,
    function,
    lit,
    max_,
    min_,
    not_exists,
    now,
    null,
    optional,
    present,
    scalar,
    seconds,
    select,
    tasks,
    template,
    unnest,
)
from goque.sql.tables import BATCH, LANE, RUN, TASK, WORKER

Spans = Sequence[tuple[int, int]]
"""Ranges of task ids, ends included."""
EVERYTHING: Spans = ((FIRST_BATCH_TASK, 2**63 - 1), (0, FIRST_BATCH_TASK - 1))
TAIL = 2_000
"""Characters of a log that history shows."""

_RECORDED = frozenset({Status.PENDING, Status.DONE, Status.ERROR, Status.CANCELED})
_FAILED = [lit(status) for status in sorted(FAILED)]
_FINAL = [lit(status) for status in sorted(FINAL)]


def span_of(batch: int) -> tuple[int, int]:
    """The ids of a batch's tasks."""
    return batch * SPAN, batch * SPAN + SPAN - 1


@template(read=scalar)
def _moment() -> Query[Any]:
    return select(now().as_("moment"))


def moment() -> Statement[datetime]:
    """The database's clock."""
    return _moment.bind()


@template(read=scalar)
def _batches_called() -> Query[Any]:
    names, me = Bind("names", array(TEXT)), Bind("me", TEXT, nullable=True)
    wanted = unnest("wanted", name=names)
    mine = me.is_null() | (BATCH.owner == me)
    whole = concat(BATCH.owner, "/", present(BATCH.name))
    return (
        select(BATCH.id)
        .from_(wanted)
        .join(BATCH, ((BATCH.name == wanted.name) & mine) | (whole == wanted.name))
        .where(BATCH.superseded_at.is_null())
    )


def batches_called(names: Sequence[str], me: str | None) -> Statement[int]:
    """The batches of these names, each "name" or "owner/name"; a bare name is a batch of ``me``, or of anybody."""
    return _batches_called.bind(names=list(names), me=me)


def _span() -> Any:
    return unnest("span", first=Bind("firsts", array(BIGINT)), last=Bind("lasts", array(BIGINT)))


def span_values(spans: Spans) -> dict[str, object]:
    """The values that queries over ranges of ids take."""
    return {"firsts": [first for first, _ in spans], "lasts": [last for _, last in spans]}


def _at(moment: Moment) -> Expression[datetime] | datetime:
    return moment if isinstance(moment, datetime) else now() - seconds(float(moment))


def _within(at: Expression[Any], filters: Filters) -> list[Condition]:
    conditions = []
    if filters.since is not None:
        conditions.append(at >= _at(filters.since))
    if filters.until is not None:
        conditions.append(at < _at(filters.until))
    return conditions


def _task_conditions(filters: Filters) -> tuple[list[Condition], bool]:
    """Conditions on the task and its lane, and whether the lane is needed."""
    on_lane = [
        column.in_(wanted)
        for column, wanted in ((LANE.queue, filters.queue), (LANE.type, filters.type), (LANE.owner, filters.owner))
        if wanted is not None
    ]
    on_task: list[Condition] = []
    if filters.external_id is not None:
        on_task.append(TASK.external_id.in_(filters.external_id))
    if filters.task_status is not None:
        on_task.append(_one_of(TASK.status, filters.task_status))
    return on_task + on_lane, bool(on_lane)


def _one_of(column: Expression[Any], statuses: frozenset[Any]) -> Condition:
    # in_() of nothing is an empty array, which no row is in.
    return column.in_([lit(status) for status in sorted(statuses)]) if statuses else column.in_([])


def _worker_is(column: Expression[Any], wanted: Sequence[int | str]) -> Condition:
    ids = [item for item in wanted if isinstance(item, int)]
    hosts = [item for item in wanted if isinstance(item, str)]
    there = select(WORKER.id).from_(WORKER).where(WORKER.host.in_(hosts))
    return column.in_(ids) | column.in_(there) if hosts else column.in_(ids)


def _runs_in_its_row() -> Condition:
    """The task row tells of a run: a success, one that goes on, or a canceled one whose code has not stopped."""
    return ((TASK.run > lit(0)) & TASK.status.in_([lit(Status.DONE), lit(Status.PROCESSING)])) | (
        (TASK.status == lit(Status.CANCELED)) & (TASK.seq < lit(0)) & TASK.started_at.is_not_null()
    )


def _recorded(filters: Filters, span: Any, limit: int | None) -> Query[Any] | None:
    """Runs with a record of their own."""
    if filters.status is not None and not filters.status & _RECORDED:
        return None
    conditions, lane_needed = _task_conditions(filters)
    conditions += _within(RUN.finished_at, filters)
    if filters.status is not None:
        conditions.append(_one_of(RUN.status, filters.status & _RECORDED))
    if filters.outcome is not None:
        conditions.append(_one_of(RUN.outcome, filters.outcome))
    if filters.worker is not None:
        conditions.append(_worker_is(RUN.worker_id, filters.worker))
    if filters.error_type is not None:
        conditions.append(RUN.error_type.in_(filters.error_type))
    if filters.error is not None:
        lowered = function("lower", TEXT, RUN.error, nullable=True)
        conditions.append(function("strpos", INTEGER, lowered, filters.error.lower()) > lit(0))
    query = (
        select(RUN.task_id.as_("id"), optional(RUN.run).as_("recorded"), lit(False).as_("own"), TASK.created_at)
        .from_(RUN)
        .join(TASK, TASK.id == RUN.task_id)
    )
    if lane_needed:
        query = query.join(LANE, LANE.id == TASK.lane_id)
    query = query.where(RUN.task_id >= span.first, RUN.task_id <= span.last, *conditions)
    return query if limit is None else query.order_by(RUN.task_id.desc(), RUN.run.desc()).limit(limit)


def _told_by_task(filters: Filters, span: Any, limit: int | None) -> Query[Any] | None:
    """Runs that the task row tells of, and tasks that have not run."""
    if filters.error_type is not None or filters.error is not None or filters.status == frozenset({Status.ERROR}):
        return None  # a failed run has a record
    own = _runs_in_its_row()
    conditions, lane_needed = _task_conditions(filters)
    conditions += _within(coalesce(TASK.finished_at, TASK.started_at, TASK.created_at), filters)
    if filters.status is not None:
        conditions.append(_one_of(TASK.status, filters.status))
    if filters.outcome is not None:
        if RunOutcome.DONE not in filters.outcome:
            return None
        conditions += [own, TASK.status == lit(Status.DONE)]
    if filters.worker is not None:
        conditions += [own, _worker_is(TASK.worker_id, filters.worker)]
    has_not_run = not_exists(select(RUN.run).from_(RUN).where(RUN.task_id == TASK.id))
    query = select(TASK.id, null(INTEGER).as_("recorded"), own.as_("own"), TASK.created_at).from_(TASK)
    if lane_needed:
        query = query.join(LANE, LANE.id == TASK.lane_id)
    query = query.where(TASK.id >= span.first, TASK.id <= span.last, *conditions, own | has_not_run)
    return query if limit is None else query.order_by(TASK.id.desc()).limit(limit)


def _chosen(filters: Filters, limit: int | None) -> Any:
    """The newest ``limit`` rows to show: task, number of the run's record, and whether the task row tells of a run."""
    span = _span()
    arms = []
    for name, part in (("recorded", _recorded(filters, span, limit)), ("told", _told_by_task(filters, span, limit))):
        if part is not None:
            rows = part.sub(name)
            arms.append(select(*columns_of(rows)).from_(span).cross_join_lateral(rows))
    if not arms:
        arms = [_nothing()]
    every: Any = (arms[0] if len(arms) == 1 else arms[0].union_all(arms[1])).sub("every")
    query = select(*columns_of(every)).from_(every)
    if limit is not None:
        query = query.order_by(every.created_at.desc(), every.id.desc(), every.recorded.desc()).limit(limit)
    return query


def _nothing() -> Any:
    """For filters that exclude each other."""
    columns = (TASK.id, null(INTEGER).as_("recorded"), lit(False).as_("own"), TASK.created_at)
    return select(*columns).from_(TASK).where(lit(False))


def _seconds_between(later: Expression[Any], earlier: Expression[Any]) -> Expression[Any]:
    """Never negative, since the two come from different readings; null if either is."""
    gap: Any = later - earlier
    positive: Expression[Any] = (gap + function("abs", DOUBLE, gap, nullable=True)) / 2.0
    return positive


def _history_columns(chosen: Any) -> dict[str, Expression[Any]]:
    own = chosen.own
    run, status = optional(RUN.run), coalesce(optional(RUN.status), TASK.status)

    def of_run(in_task: Expression[Any], in_run: Expression[Any]) -> Expression[Any]:
        return case((own, optional(in_task)), else_=optional(in_run))

    started: Any = of_run(TASK.started_at, RUN.started_at)
    finished: Any = coalesce(optional(RUN.finished_at), TASK.finished_at)
    number: Any = of_run(TASK.run, run)
    since_ready = case(
        (own & TASK.seq.is_not_null(), function("abs", BIGINT, TASK.seq).cast(DOUBLE) / 1e6),
        (number == lit(1), epoch(TASK.created_at)),
        else_=null(DOUBLE),
    )
    until: Any = case((own & (TASK.status != lit(Status.DONE)), optional(clock_timestamp())), else_=finished)
    reason = case(
        ((TASK.status == lit(Status.CANCELED)) & coalesce(run == TASK.run, lit(True)), TASK.reason), else_=null(TEXT)
    )
    outcome = case(
        (own & (TASK.status == lit(Status.DONE)), optional(lit(RunOutcome.DONE))), else_=optional(RUN.outcome)
    )
    return {
        "task_id": TASK.id,
        "run": number,
        "status": status,
        "outcome": outcome,
        "task_status": TASK.status,
        "failed": status.in_(_FAILED),
        "final": TASK.status.in_(_FINAL),
        "batch": coalesce(optional(BATCH.name), optional(BATCH.id).cast(TEXT)),
        "position": case((TASK.id >= lit(FIRST_BATCH_TASK), optional(TASK.id % lit(SPAN))), else_=null(BIGINT)),
        "queue": LANE.queue,
        "type": LANE.type,
        "external_id": TASK.external_id,
        "priority": LANE.priority,
        "owner": LANE.owner,
        "created_at": TASK.created_at,
        "run_at": TASK.run_at,
        "started_at": started,
        "finished_at": case((own & (TASK.status != lit(Status.DONE)), null(TIMESTAMPTZ)), else_=finished),
        "wait_s": _seconds_between(epoch(started), since_ready),
        "run_s": epoch(until - started),
        "worker": of_run(TASK.worker_id, RUN.worker_id),
        "host": optional(WORKER.host),
        "pid": optional(WORKER.pid),
        "cpu_s": of_run(TASK.cpu_s, RUN.cpu_s),
        "max_rss_mb": of_run(TASK.max_rss_mb, RUN.max_rss_mb),
        "error_type": optional(RUN.error_type),
        "error": coalesce(optional(RUN.error), reason),
        "traceback": optional(RUN.traceback),
        "args_repr": optional(RUN.args_repr),
        "log_tail": function("right", TEXT, of_run(TASK.log, RUN.log), lit(TAIL), nullable=True),
        "metadata": TASK.metadata,
    }


HISTORY = (
    "task_id", "run", "status", "outcome", "task_status", "failed", "final", "batch", "position", "queue", "type",
    "external_id", "priority", "owner", "created_at", "run_at", "started_at", "finished_at", "wait_s", "run_s",
    "worker", "host", "pid", "cpu_s", "max_rss_mb", "error_type", "error", "traceback", "args_repr", "log_tail",
    "metadata",
)  # fmt: skip
"""The columns of history, in order."""


def history(filters: Filters) -> Query[Any]:
    """One row per run, and one for each task that has not run; run it with ``span_values``."""
    chosen: Any = _chosen(filters, None if filters.order_by else filters.limit).sub("chosen")
    known = _history_columns(chosen)
    columns = [known[name].as_(name) for name in filters.columns or HISTORY]
    worker = case((chosen.own, TASK.worker_id), else_=optional(RUN.worker_id))
    query = (
        select(*columns)
        .from_(chosen)
        .join(TASK, TASK.id == chosen.id)
        .join(LANE, LANE.id == TASK.lane_id)
        .left_join(RUN, (RUN.task_id == chosen.id) & (RUN.run == chosen.recorded))
        .left_join(BATCH, BATCH.id == LANE.batch_id)
        .left_join(WORKER, WORKER.id == worker)
    )
    newest = (chosen.created_at.desc(), chosen.id.desc(), chosen.recorded.desc())
    found: Query[Any] = query.order_by(*_order(filters, known), *newest).limit(filters.limit)
    return found


def _order(filters: Filters, known: Any) -> list[Any]:
    ordered = []
    for name, falls in filters.order_by:
        column = known[name] if isinstance(known, dict) else getattr(known, name)
        ordered.append(column.desc(nulls="last") if falls else column.asc(nulls="last"))
    return ordered


def history_size(filters: Filters, at_most: int) -> Query[Any]:
    """How many rows there are in all, counted up to ``at_most``; run it with ``span_values``."""
    return select(count().as_("n")).from_(_chosen(replace(filters, order_by=()), at_most).sub("chosen"))


def _tasks_within(filters: Filters, limit: int | None) -> Any:
    span = _span()
    conditions, lane_needed = _task_conditions(filters)
    conditions += _within(coalesce(TASK.finished_at, TASK.started_at, TASK.created_at), filters)
    if filters.status is not None:
        conditions.append(_one_of(TASK.status, filters.status))
    if filters.worker is not None:
        conditions.append(_worker_is(TASK.worker_id, filters.worker))
    query = select(TASK.id, TASK.created_at).from_(TASK)
    if lane_needed:
        query = query.join(LANE, LANE.id == TASK.lane_id)
    query = query.where(TASK.id >= span.first, TASK.id <= span.last, *conditions)
    if limit is not None:
        query = query.order_by(TASK.id.desc()).limit(limit)
    rows = query.sub("row")
    chosen: Any = select(rows.id, rows.created_at).from_(span).cross_join_lateral(rows)
    return chosen if limit is None else chosen.order_by(rows.created_at.desc(), rows.id.desc()).limit(limit)


TASKS: tuple[str, ...] = tuple(column.name for column in columns_of(tasks))
"""The columns of a look at tasks, in order: those of the view, and two that say what the status means."""
TASKS = (*TASKS[:3], "failed", "final", *TASKS[3:])


def task_rows(filters: Filters) -> Query[Any]:
    """One row per task; run it with ``span_values``."""
    chosen: Any = _tasks_within(filters, None if filters.order_by else filters.limit).sub("chosen")
    known: dict[str, Expression[Any]] = {column.name: column for column in columns_of(tasks)}
    known |= {"failed": tasks.status.in_(_FAILED), "final": tasks.status.in_(_FINAL)}
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
    newest = (chosen.created_at.desc(), chosen.id.desc())
    found: Query[Any] = query.order_by(*_order(filters, shown), *newest).limit(filters.limit)
    return found


def tasks_size(filters: Filters, at_most: int) -> Query[Any]:
    """How many tasks there are in all, counted up to ``at_most``; run it with ``span_values``."""
    return select(count().as_("n")).from_(_tasks_within(replace(filters, order_by=()), at_most).sub("chosen"))


BATCHES: tuple[str, ...] = tuple(column.name for column in columns_of(batches))
"""The columns of a look at batches, in order."""


def batch_rows(filters: Filters, ids: Sequence[int] | None) -> Query[Any]:
    """One row per batch, newest first; these ids, or all."""
    conditions: list[Condition] = _within(batches.changed_at, filters)
    if ids is not None:
        conditions.append(batches.id.in_(list(ids)))
    for column, wanted in ((batches.owner, filters.owner), (batches.type, filters.type)):
        if wanted is not None:
            conditions.append(column.in_(wanted))
    columns = [getattr(batches, name) for name in filters.columns or BATCHES]
    query = select(*columns).from_(batches)
    if conditions:
        query = query.where(*conditions)
    found: Query[Any] = query.order_by(*_order(filters, batches), batches.id.desc()).limit(filters.limit)
    return found


def failures() -> Query[Any]:
    """The failed tasks of some ranges, grouped by what went wrong in their last run; run it with ``span_values``.

    A task that only shares the failure of another has no run and is not counted.
    """
    span = _span()
    last = (
        select(RUN.task_id, RUN.outcome, RUN.error_type, RUN.user_frame, RUN.error, RUN.finished_at)
        .from_(RUN)
        .where(RUN.task_id >= span.first, RUN.task_id <= span.last, RUN.status == lit(Status.ERROR))
        .distinct_on(RUN.task_id)
        .order_by(RUN.task_id, RUN.run.desc())
        .sub("last")
    )
    kind = coalesce(last.error_type, last.outcome.cast(TEXT)).as_("error_type")
    grouped: Derived = (
        select(
            kind,
            last.user_frame,
            last.error,
            count().as_("n"),
            min_(last.task_id).as_("task_id"),
            max_(last.finished_at).as_("last_at"),
        )
        .from_(span)
        .cross_join_lateral(last)
        .join(TASK, TASK.id == last.task_id)
        .where(TASK.status.in_(_FAILED))
        .group_by(1, 2, 3)
        .order_by(count().desc())
        .limit(1_000)
        .sub("grouped")
    )
    sample = (
        select(RUN.traceback, RUN.args_repr)
        .from_(RUN)
        .where(RUN.task_id == grouped.task_id, RUN.status == lit(Status.ERROR))
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
            sample.traceback,
        )
        .from_(grouped)
        .left_join_lateral(sample)
        .order_by(grouped.n.desc(), grouped.task_id)
    )
    return found

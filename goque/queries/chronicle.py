"""History: one row per run, and one for each task that has not run. Not for: tasks and batches (``listing``)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from goque.model.identity import FIRST_BATCH_TASK, SPAN
from goque.model.states import RunOutcome, Status
from goque.queries import looking
from goque.queries.filters import Filters
from goque.queries.looking import beyond, first_rows, in_order, most, one_of, task_conditions, within, worker_is
from goque.queries.statuses import FAILED, FINAL
from goque.sql import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    TEXT,
    TIMESTAMPTZ,
    Bind,
    Condition,
    Expression,
    Query,
    array,
    case,
    clock_timestamp,
    coalesce,
    columns_of,
    count,
    epoch,
    function,
    lit,
    not_exists,
    null,
    optional,
    seconds,
    select,
    unnest,
)
from goque.sql.tables import BATCH, LANE, RUN, TASK, WORKER

MANY = 100_000
"""From so many rows on they are sorted once, when all that is shown of them is there."""
TAIL = 2_000
"""Characters of a log that history shows."""

_THEN = LANE.as_("then_lane")
"""Where a run was that a task made before a retry moved it to another function."""
_CARRIED = (
    "lane_id", "run", "status", "seq", "created_at", "run_at", "started_at", "finished_at", "worker_id", "external_id",
    "cpu_s", "max_rss_mb", "reason", "log", "metadata",
)  # fmt: skip
"""What is shown of a task. Read where rows are chosen: to look each task up once more took a third of all the time."""
_RECORDED = frozenset({Status.PENDING, Status.DONE, Status.ERROR, Status.CANCELED})


def _runs_in_its_row() -> Condition:
    """The task row tells of a run: a success, one that goes on, or a canceled one whose code has not stopped."""
    return ((TASK.run > lit(0)) & TASK.status.in_([lit(Status.DONE), lit(Status.PROCESSING)])) | (
        (TASK.status == lit(Status.CANCELED)) & (TASK.seq < lit(0)) & TASK.started_at.is_not_null()
    )


def _of_task() -> list[Any]:
    return [getattr(TASK, name) for name in _CARRIED]


def _recorded(filters: Filters, span: Any, limit: int | None) -> Query[Any] | None:
    """Runs with a record of their own."""
    if filters.status is not None and not filters.status & _RECORDED:
        return None
    conditions, lane_needed = task_conditions(filters)
    conditions += within(RUN.finished_at, filters)
    if filters.status is not None:
        conditions.append(one_of(RUN.status, filters.status & _RECORDED))
    if filters.outcome is not None:
        conditions.append(one_of(RUN.outcome, filters.outcome))
    if filters.worker is not None:
        conditions.append(worker_is(RUN.worker_id, filters.worker))
    if filters.longer_than is not None:
        conditions.append(RUN.finished_at - RUN.started_at > seconds(filters.longer_than))
    if filters.error_type is not None:
        conditions.append(RUN.error_type.in_(filters.error_type))
    if filters.error is not None:
        lowered = function("lower", TEXT, RUN.error, nullable=True)
        conditions.append(function("strpos", INTEGER, lowered, filters.error.lower()) > lit(0))
    query = (
        select(RUN.task_id.as_("id"), optional(RUN.run).as_("recorded"), lit(False).as_("own"), *_of_task())
        .from_(RUN)
        .join(TASK, TASK.id == RUN.task_id)
    )
    if lane_needed:
        query = query.join(LANE, LANE.id == TASK.lane_id)
    conditions += beyond(RUN.task_id, RUN.run, filters)
    query = query.where(RUN.task_id >= span.first, RUN.task_id <= span.last, *conditions)
    found: Query[Any] = first_rows(query, filters, limit, RUN.task_id, RUN.run)
    return found


def _told_by_task(filters: Filters, span: Any, limit: int | None) -> Query[Any] | None:
    """Runs that the task row tells of, and tasks that have not run."""
    if filters.error_type is not None or filters.error is not None or filters.status == frozenset({Status.ERROR}):
        return None  # a failed run has a record
    own = _runs_in_its_row()
    conditions, lane_needed = task_conditions(filters)
    conditions += within(coalesce(TASK.finished_at, TASK.started_at, TASK.created_at), filters)
    if filters.status is not None:
        conditions.append(one_of(TASK.status, filters.status))
    if filters.outcome is not None:
        if RunOutcome.DONE not in filters.outcome:
            return None
        conditions += [own, TASK.status == lit(Status.DONE)]
    if filters.worker is not None:
        conditions += [own, worker_is(TASK.worker_id, filters.worker)]
    if filters.longer_than is not None:
        until = case((TASK.status == lit(Status.DONE), TASK.finished_at), else_=optional(clock_timestamp()))
        conditions += [own, until - TASK.started_at > seconds(filters.longer_than)]
    has_not_run = not_exists(select(RUN.run).from_(RUN).where(RUN.task_id == TASK.id))
    query = select(TASK.id, null(INTEGER).as_("recorded"), own.as_("own"), *_of_task()).from_(TASK)
    if lane_needed:
        query = query.join(LANE, LANE.id == TASK.lane_id)
    conditions += beyond(TASK.id, TASK.run, filters)
    query = query.where(TASK.id >= span.first, TASK.id <= span.last, *conditions, own | has_not_run)
    found: Query[Any] = first_rows(query, filters, limit, TASK.id)
    return found


def _every(filters: Filters, limit: int | None) -> Any:
    """At least the newest ``limit`` rows: the task, number of the run's record, whether the task row tells of a run."""
    span = _span()
    parts = {"recorded": _recorded(filters, span, limit), "told": _told_by_task(filters, span, limit)}
    arms = []
    for name, part in parts.items():
        if part is not None:
            rows = part.sub(name)
            which = span.told == lit(name == "told")
            arms.append(select(*columns_of(rows)).from_(span).cross_join_lateral(rows).where(which))
    if not arms:
        arms = [_nothing(span)]
    return arms[0] if len(arms) == 1 else arms[0].union_all(arms[1])


def _chosen(filters: Filters, limit: int | None) -> Any:
    """The rows to show. Of many none is left out here: to sort them twice takes longer than to join a few more."""
    if limit is None or limit > MANY:
        return _every(filters, limit)
    every: Any = _every(filters, limit).sub("every")
    return select(*columns_of(every)).from_(every).order_by(*in_order(filters, every, {}, run=True)).limit(limit)


def _nothing(span: Any) -> Any:
    """For filters that exclude each other."""
    columns = (TASK.id, null(INTEGER).as_("recorded"), lit(False).as_("own"), *_of_task())
    return select(*columns).from_(span).join(TASK, TASK.id == span.first).where(lit(False))


def _span() -> Any:
    """The ranges to look at: once for records of runs, and once for what task rows tell."""
    firsts, lasts, tolds = Bind("firsts", array(BIGINT)), Bind("lasts", array(BIGINT)), Bind("tolds", array(BOOLEAN))
    return unnest("span", first=firsts, last=lasts, told=tolds)


def _seconds_between(later: Expression[Any], earlier: Expression[Any]) -> Expression[Any]:
    """Never negative, since the two come from different readings; null if either is."""
    gap: Any = later - earlier
    positive: Expression[Any] = (gap + function("abs", DOUBLE, gap, nullable=True)) / 2.0
    return positive


def _history_columns(chosen: Any, *, arguments: bool) -> dict[str, Expression[Any]]:
    own = chosen.own
    run, status = optional(RUN.run), coalesce(optional(RUN.status), chosen.status)

    def of_run(in_task: Expression[Any], in_run: Expression[Any]) -> Expression[Any]:
        return case((own, optional(in_task)), else_=optional(in_run))

    started: Any = of_run(chosen.started_at, RUN.started_at)
    finished: Any = coalesce(optional(RUN.finished_at), chosen.finished_at)
    number: Any = of_run(chosen.run, run)
    since_ready = case(
        (own & chosen.seq.is_not_null(), function("abs", BIGINT, chosen.seq).cast(DOUBLE) / 1e6),
        (number == lit(1), epoch(chosen.created_at)),
        else_=null(DOUBLE),
    )
    until: Any = case((own & (chosen.status != lit(Status.DONE)), optional(clock_timestamp())), else_=finished)
    reason = case(
        ((chosen.status == lit(Status.CANCELED)) & coalesce(run == chosen.run, lit(True)), chosen.reason),
        else_=null(TEXT),
    )
    outcome = case(
        (own & (chosen.status == lit(Status.DONE)), optional(lit(RunOutcome.DONE))), else_=optional(RUN.outcome)
    )
    return {
        "task_id": chosen.id,
        "run": number,
        "status": status,
        "outcome": outcome,
        "task_status": chosen.status,
        "failed": status.in_(FAILED),
        "final": chosen.status.in_(FINAL),
        "batch": coalesce(optional(BATCH.name), optional(BATCH.id).cast(TEXT)),
        "position": case((chosen.id >= lit(FIRST_BATCH_TASK), optional(chosen.id % lit(SPAN))), else_=null(BIGINT)),
        "queue": LANE.queue,
        "type": coalesce(optional(_THEN.type), LANE.type),
        "external_id": chosen.external_id,
        "priority": LANE.priority,
        "owner": LANE.owner,
        "created_at": chosen.created_at,
        "run_at": chosen.run_at,
        "started_at": started,
        "finished_at": case((own & (chosen.status != lit(Status.DONE)), null(TIMESTAMPTZ)), else_=finished),
        "wait_s": _seconds_between(epoch(started), since_ready),
        "run_s": epoch(until - started),
        "worker": of_run(chosen.worker_id, RUN.worker_id),
        "host": optional(WORKER.host),
        "pid": optional(WORKER.pid),
        "cpu_s": of_run(chosen.cpu_s, RUN.cpu_s),
        "max_rss_mb": of_run(chosen.max_rss_mb, RUN.max_rss_mb),
        "error_type": optional(RUN.error_type),
        "error": coalesce(optional(RUN.error), reason),
        "traceback": optional(RUN.traceback),
        "args_repr": optional(RUN.args_repr) if arguments else null(TEXT),
        "log_tail": function("right", TEXT, of_run(chosen.log, RUN.log), lit(TAIL), nullable=True),
        "metadata": chosen.metadata,
    }


def values(spans: looking.Spans, told: looking.Spans | None = None) -> dict[str, object]:
    """The values that ``history`` takes: the ranges to look at, and those of them in which task rows may match."""
    told = spans if told is None else told
    both = looking.span_values([*spans, *told])
    return both | {"tolds": [False] * len(spans) + [True] * len(told)}


HISTORY = (
    "task_id", "run", "status", "outcome", "task_status", "failed", "final", "batch", "position", "queue", "type",
    "external_id", "priority", "owner", "created_at", "run_at", "started_at", "finished_at", "wait_s", "run_s",
    "worker", "host", "pid", "cpu_s", "max_rss_mb", "error_type", "error", "traceback", "args_repr", "log_tail",
    "metadata",
)  # fmt: skip
"""The columns of history, in order."""


def history(filters: Filters, *, arguments: bool = True) -> Query[Any]:
    """One row per run, and one for each task that has not run; run it with ``values``.

    Without ``arguments`` nothing is read that a role which only looks is not shown.
    """
    chosen: Any = _chosen(filters, most(filters)).sub("chosen")
    known = _history_columns(chosen, arguments=arguments)
    columns = [known[name].as_(name) for name in filters.columns or HISTORY]
    worker = case((chosen.own, chosen.worker_id), else_=optional(RUN.worker_id))
    query = (
        select(*columns)
        .from_(chosen)
        .join(LANE, LANE.id == chosen.lane_id)
        .left_join(RUN, (RUN.task_id == chosen.id) & (RUN.run == chosen.recorded))
        .left_join(_THEN, _THEN.id == RUN.lane_id)
        .left_join(BATCH, BATCH.id == LANE.batch_id)
        .left_join(WORKER, WORKER.id == worker)
    )
    found: Query[Any] = query.order_by(*in_order(filters, chosen, known, run=True)).limit(filters.limit)
    return found


def history_size(filters: Filters, at_most: int) -> Query[Any]:
    """How many rows there are in all, counted up to ``at_most``; run it with ``values``."""
    every: Any = _every(replace(filters, order_by=(), after=None), at_most).sub("every")
    return select(count().as_("n")).from_(select(every.id).from_(every).limit(at_most).sub("counted"))

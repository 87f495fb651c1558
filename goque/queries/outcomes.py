"""How tasks ended, for those who wait for it, and being told of it. Not for: writing it (``finish``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.model.states import Status
from goque.queries.moments import Word
from goque.queries.statuses import FINAL
from goque.sql import (
    BIGINT,
    BYTEA,
    DOUBLE,
    INTEGER,
    TEXT,
    Bind,
    Query,
    Statement,
    any_of,
    array,
    case,
    coalesce,
    concat,
    function,
    lit,
    now,
    null,
    optional,
    pg_notify,
    scalar,
    seconds,
    select,
    template,
    unnest,
    update,
)
from goque.sql.columns import columns_of
from goque.sql.tables import LANE, RUN, TASK, WORKER

INLINE = 8_192
"""Bytes of a result that come with the row; larger ones are read one by one."""


class OutcomeRow(NamedTuple):
    """How a task ended. ``result`` and ``exception`` are sealed; a large result is None and ``size`` says how large.

    ``source`` and ``source_run`` are what a result is bound to: another task's where this one shares its outcome.
    """

    id: int
    status: Status
    source: int
    source_run: int
    size: int | None
    result: bytes | None
    reason: str | None
    error_type: str | None
    error: str | None
    traceback: str | None
    exception: bytes | None
    outcome: str | None
    attempt: int | None
    host: str | None
    worker: int | None


class EndedRow(NamedTuple):
    """A task that has ended. ``run`` is None unless it is done by a run of its own: then ``outcomes_of`` tells how."""

    id: int
    run: int | None
    size: int | None
    result: bytes | None


_NOTHING = (None,) * (len(OutcomeRow._fields) - len(EndedRow._fields) - 2)


def done(row: EndedRow) -> OutcomeRow:
    """The outcome of a task that is done by a run of its own: nearly all are, so it is made of as little as can be."""
    task, run, size, result = row
    return tuple.__new__(OutcomeRow, (task, Status.DONE, task, run, size, result, *_NOTHING))


# One probe for each, whatever the planner thought when it made the plan: a client that began on an empty database would
# otherwise go on reading all tasks, and all records, for a handful of outcomes.


def _shared(task: Any) -> Any:
    """The task whose outcome a task shares."""
    source = TASK.as_("source")
    columns = (source.id, source.run, source.result, source.reason, source.worker_id)
    return select(*columns).from_(source).where(source.id == task.same_as).limit(1).sub("shared")


def _record(task: Any, shared: Any) -> Any:
    """How a failed one went. Most look for none: a null key finds nothing."""
    failed = task.status != lit(Status.DONE)
    source = case((failed, coalesce(task.same_as, task.id)), else_=null(BIGINT))
    columns = (RUN.error_type, RUN.error, RUN.traceback, RUN.exception, RUN.outcome, RUN.attempt, RUN.worker_id)
    found = select(*columns).from_(RUN)
    return (
        found.where(RUN.task_id == source, RUN.run == coalesce(optional(shared.run), task.run)).limit(1).sub("record")
    )


@template(read=OutcomeRow._make)
def _outcomes_of() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)))
    needed = (TASK.id, TASK.status, TASK.same_as, TASK.reason, TASK.run, TASK.worker_id, TASK.result)
    task: Any = select(*needed).from_(TASK).where(TASK.id == wanted.id).limit(1).sub("one")
    shared = _shared(task)
    record = _record(task, shared)

    def of_source(name: str) -> Any:
        return case((task.same_as.is_null(), getattr(task, name)), else_=getattr(shared, name))

    result = of_source("result")
    size = function("octet_length", INTEGER, result, nullable=True)
    failed = task.status != lit(Status.DONE)
    ran_on = coalesce(optional(record.worker_id), optional(shared.worker_id), task.worker_id)
    columns = (
        task.id,
        task.status,
        coalesce(task.same_as, task.id).as_("source"),
        of_source("run").as_("source_run"),
        size.as_("size"),
        case((size <= lit(INLINE), result), else_=null(BYTEA)).as_("result"),
        coalesce(task.reason, shared.reason).as_("reason"),
        optional(record.error_type),
        optional(record.error),
        optional(record.traceback),
        optional(record.exception),
        optional(record.outcome.cast(TEXT)).as_("outcome"),
        optional(record.attempt),
        optional(WORKER.host),
        optional(WORKER.id).as_("worker"),
    )
    query: Query[Any] = (
        select(*columns)
        .from_(wanted)
        .cross_join_lateral(task)
        .left_join_lateral(shared)
        .left_join_lateral(record)
        .left_join(WORKER, WORKER.id == case((failed, ran_on), else_=null(BIGINT)))
        .where(task.same_as.is_null() | optional(shared.id).is_not_null())
    )
    return query


def outcomes_of(ids: Sequence[int]) -> Statement[OutcomeRow]:
    """How these tasks stand, final or not."""
    return _outcomes_of.bind(ids=list(ids))


@template(read=EndedRow._make)
def _ended_within() -> Query[Any]:
    span = unnest("span", first=Bind("firsts", array(BIGINT)), last=Bind("lasts", array(BIGINT)))
    plain = (TASK.status == lit(Status.DONE)) & TASK.same_as.is_null()
    size = function("octet_length", INTEGER, TASK.result, nullable=True)
    ended = (
        select(
            TASK.id,
            case((plain, optional(TASK.run)), else_=null(INTEGER)).as_("run"),
            size.as_("size"),
            case((size <= lit(INLINE), TASK.result), else_=null(BYTEA)).as_("result"),
        )
        .from_(TASK)
        .where(TASK.id >= span.first, TASK.id <= span.last, TASK.status.in_(FINAL))
        .order_by(TASK.id)
        .limit(Bind("limit", INTEGER))
        .sub("ended")
    )
    found: Any = select(*columns_of(ended)).from_(span).cross_join_lateral(ended)
    limited: Query[Any] = found.limit(Bind("limit", INTEGER))
    return limited


def ended_within(spans: Sequence[tuple[int, int]], limit: int) -> Statement[EndedRow]:
    """Final tasks among these ranges of ids, ends included, about ``limit`` of them."""
    return _ended_within.bind(firsts=[first for first, _ in spans], lasts=[last for _, last in spans], limit=limit)


@template(read=tuple)
def _results() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)))
    return select(TASK.id, TASK.result).from_(wanted).join(TASK, TASK.id == wanted.id)


def results(ids: Sequence[int]) -> Statement[tuple[int, bytes | None]]:
    """The sealed results of these tasks."""
    return _results.bind(ids=list(ids))


@template(read=scalar)
def _watch() -> Query[Any]:
    return (
        update(LANE)
        .set(LANE.watched_until, now() + seconds(Bind("seconds", DOUBLE)))
        .where(LANE.id == any_of(Bind("lanes", array(BIGINT))))
        .returning(LANE.id)
    )


def watch(lanes: Sequence[int], for_seconds: float) -> Statement[int]:
    """Ask to be notified of outcomes in these lanes."""
    return _watch.bind(lanes=sorted(lanes), seconds=for_seconds)


@template(read=scalar)
def _tell_watchers() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("lanes", array(BIGINT)))
    payload = concat(lit(Word.DONE).cast(TEXT), LANE.id.cast(TEXT))
    return (
        select(pg_notify(Bind("channel", TEXT), payload))
        .from_(wanted)
        .join(LANE, LANE.id == wanted.id)
        .where(LANE.watched_until > now())
    )


def tell_watchers(channel: str, lanes: Sequence[int]) -> Statement[Any]:
    """Notify those who wait for outcomes in these lanes; lanes that nobody watches cost nothing."""
    return _tell_watchers.bind(channel=channel, lanes=list(lanes))


@template(read=scalar)
def _is_there() -> Query[Any]:
    return select(TASK.id).from_(TASK).join(LANE, LANE.id == TASK.lane_id).where(TASK.id == Bind("task", BIGINT))


def is_there(task: int) -> Statement[int]:
    """The task, unless it was removed, or is about to be with its batch."""
    return _is_there.bind(task=task)

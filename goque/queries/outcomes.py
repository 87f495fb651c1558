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


_SOURCE = TASK.as_("source")


def _outcome_columns(task: Any) -> Any:
    def of_source(name: str) -> Any:
        return case((task.same_as.is_null(), getattr(task, name)), else_=getattr(_SOURCE, name))

    result = of_source("result")
    size = function("octet_length", INTEGER, result, nullable=True)
    return select(
        task.id,
        task.status,
        coalesce(task.same_as, task.id).as_("source"),
        of_source("run").as_("source_run"),
        size.as_("size"),
        case((size <= lit(INLINE), result), else_=null(BYTEA)).as_("result"),
        coalesce(task.reason, _SOURCE.reason).as_("reason"),
        optional(RUN.error_type),
        optional(RUN.error),
        optional(RUN.traceback),
        optional(RUN.exception),
        optional(RUN.outcome.cast(TEXT)).as_("outcome"),
        optional(RUN.attempt),
        optional(WORKER.host),
        optional(WORKER.id).as_("worker"),
    )


def _joined(query: Any, task: Any) -> Any:
    """With whose outcome a task shares, and how a failed one went. Most look for neither: a null key finds nothing."""
    failed = task.status != lit(Status.DONE)
    source = case((failed, coalesce(task.same_as, task.id)), else_=null(BIGINT))
    worker = case((failed, coalesce(RUN.worker_id, _SOURCE.worker_id, task.worker_id)), else_=null(BIGINT))
    return (
        query.left_join(_SOURCE, _SOURCE.id == task.same_as)
        .left_join(RUN, (RUN.task_id == source) & (RUN.run == coalesce(_SOURCE.run, task.run)))
        .left_join(WORKER, WORKER.id == worker)
        .where(task.same_as.is_null() | _SOURCE.id.is_not_null())
    )


@template(read=OutcomeRow._make)
def _outcomes_within() -> Query[Any]:
    span = unnest("span", first=Bind("firsts", array(BIGINT)), last=Bind("lasts", array(BIGINT)))
    ended = (
        select(TASK.id, TASK.status, TASK.same_as, TASK.reason, TASK.run, TASK.worker_id, TASK.result)
        .from_(TASK)
        .where(TASK.id >= span.first, TASK.id <= span.last, TASK.status.in_(FINAL))
        .order_by(TASK.id)
        .limit(Bind("limit", INTEGER))
        .sub("ended")
    )
    found: Query[Any] = _joined(_outcome_columns(ended).from_(span).cross_join_lateral(ended), ended).limit(
        Bind("limit", INTEGER)
    )
    return found


def outcomes_within(spans: Sequence[tuple[int, int]], limit: int) -> Statement[OutcomeRow]:
    """Final tasks among these ranges of ids, ends included, about ``limit`` of them."""
    return _outcomes_within.bind(firsts=[first for first, _ in spans], lasts=[last for _, last in spans], limit=limit)


@template(read=OutcomeRow._make)
def _outcomes_of() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)))
    found: Query[Any] = _joined(_outcome_columns(TASK).from_(wanted).join(TASK, TASK.id == wanted.id), TASK)
    return found


def outcomes_of(ids: Sequence[int]) -> Statement[OutcomeRow]:
    """How these tasks stand, final or not."""
    return _outcomes_of.bind(ids=list(ids))


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

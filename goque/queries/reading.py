"""What a waiting client reads: batches, counts, outcomes, one task. Not for: frames for analysis (``queries.looking``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from goque.model.states import FINAL, Status
from goque.queries.tally import COUNTERS
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
    epoch,
    function,
    lit,
    now,
    null,
    optional,
    scalar,
    seconds,
    select,
    sum_,
    template,
    unnest,
    update,
)
from goque.sql.tables import BATCH, BATCH_ITEMS, FUNCTION, LANE, RUN, TALLY, TASK, WORKER

INLINE = 8_192
"""Bytes of a result that come with the row; larger ones are read one by one."""
_FINAL = [lit(status) for status in sorted(FINAL)]


class BatchRow(NamedTuple):
    """A batch."""

    id: int
    owner: str
    name: str | None
    created_at: datetime
    total: int
    type: str
    kwargs: bytes | None
    sameness: list[str]
    environment: dict[str, Any]
    metadata: dict[str, Any] | None
    keep_s: float | None
    canceled_at: datetime | None
    cancel_reason: str | None
    paused: bool


def _batches() -> Any:
    return select(
        BATCH.id,
        BATCH.owner,
        BATCH.name,
        BATCH.created_at,
        BATCH.total,
        BATCH.type,
        BATCH.kwargs,
        BATCH.sameness,
        BATCH.environment,
        BATCH.metadata,
        BATCH.keep_s,
        BATCH.canceled_at,
        BATCH.cancel_reason,
        BATCH.paused,
    ).from_(BATCH)


@template(read=BatchRow._make)
def _batch_by_id() -> Query[Any]:
    found: Query[Any] = _batches().where(BATCH.id == Bind("id", BIGINT))
    return found


def batch_by_id(id: int) -> Statement[BatchRow]:
    """The batch with this id."""
    return _batch_by_id.bind(id=id)


@template(read=BatchRow._make)
def _batch_by_name() -> Query[Any]:
    found: Query[Any] = _batches().where(
        BATCH.owner == Bind("owner", TEXT), BATCH.name == Bind("name", TEXT), BATCH.superseded_at.is_null()
    )
    return found


def batch_by_name(owner: str, name: str) -> Statement[BatchRow]:
    """The batch that its owner calls by this name now."""
    return _batch_by_name.bind(owner=owner, name=name)


@template(read=BatchRow._make)
def _last_batch() -> Query[Any]:
    found: Query[Any] = _batches().where(BATCH.owner == Bind("owner", TEXT)).order_by(BATCH.id.desc()).limit(1)
    return found


def last_batch(owner: str) -> Statement[BatchRow]:
    """The newest batch of an owner."""
    return _last_batch.bind(owner=owner)


@template(read=tuple)
def _batch_lanes() -> Query[Any]:
    return (
        select(LANE.id, LANE.canceled_at.is_not_null().as_("closed"))
        .from_(LANE)
        .where(LANE.batch_id == Bind("batch", BIGINT))
        .order_by(LANE.id)
    )


def batch_lanes(batch: int) -> Statement[tuple[int, bool]]:
    """The lanes of a batch, oldest first, and whether each was canceled."""
    return _batch_lanes.bind(batch=batch)


@template(read=tuple)
def _counts() -> Query[Any]:
    sums = [coalesce(sum_(column), lit(0)).as_(column.name) for column in COUNTERS.values()]
    return select(*sums).from_(LANE).join(TALLY, TALLY.lane_id == LANE.id).where(LANE.batch_id == Bind("batch", BIGINT))


def counts(batch: int) -> Statement[tuple[int, ...]]:
    """How many tasks of a batch stand in each status, in the order of ``COUNTERS``."""
    return _counts.bind(batch=batch)


@template(read=tuple)
def _counts_of() -> Query[Any]:
    from goque.sql import count

    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)))
    return select(TASK.status, count().as_("n")).from_(wanted).join(TASK, TASK.id == wanted.id).group_by(TASK.status)


def counts_of(ids: Sequence[int]) -> Statement[tuple[Status, int]]:
    """How many of these tasks stand in each status."""
    return _counts_of.bind(ids=list(ids))


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
def _watched() -> Query[Any]:
    return (
        select(LANE.id).from_(LANE).where(LANE.id == any_of(Bind("lanes", array(BIGINT))), LANE.watched_until > now())
    )


def watched(lanes: Sequence[int]) -> Statement[int]:
    """Which of these lanes somebody waits for."""
    return _watched.bind(lanes=list(lanes))


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
    size = function("octet_length", INTEGER, _SOURCE.result, nullable=True)
    return select(
        task.id,
        task.status,
        _SOURCE.id.as_("source"),
        _SOURCE.run.as_("source_run"),
        size.as_("size"),
        case((size <= lit(INLINE), _SOURCE.result), else_=null(BYTEA)).as_("result"),
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
    return (
        query.join(_SOURCE, _SOURCE.id == coalesce(task.same_as, task.id))
        .left_join(RUN, (RUN.task_id == _SOURCE.id) & (RUN.run == _SOURCE.run) & (_SOURCE.status != lit(Status.DONE)))
        .left_join(WORKER, WORKER.id == coalesce(RUN.worker_id, _SOURCE.worker_id))
    )


@template(read=OutcomeRow._make)
def _outcomes_within() -> Query[Any]:
    span = unnest("span", first=Bind("firsts", array(BIGINT)), last=Bind("lasts", array(BIGINT)))
    ended = (
        select(TASK.id, TASK.status, TASK.same_as, TASK.reason)
        .from_(TASK)
        .where(TASK.id >= span.first, TASK.id <= span.last, TASK.status.in_(_FINAL))
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


class TaskRow(NamedTuple):
    """One task, as a person looks at it; ``args`` is sealed."""

    id: int
    lane: int
    status: Status
    seq: int | None
    run_at: datetime | None
    worker_id: int | None
    run: int
    attempts: int
    max_attempts: int
    losses: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    same_as: int | None
    external_id: str | None
    metadata: Any
    progress: Any
    log: str | None
    reason: str | None
    args: bytes | None
    queue: str
    type: str
    python: str | None
    tags: list[str]
    key_ids: list[str]
    lacking: str | None
    function_hash: str | None
    kwargs: bytes | None
    host: str | None


@template(read=TaskRow._make)
def _task() -> Query[Any]:
    return (
        select(
            TASK.id,
            TASK.lane_id,
            TASK.status,
            TASK.seq,
            TASK.run_at,
            TASK.worker_id,
            TASK.run,
            TASK.attempts,
            TASK.max_attempts,
            TASK.losses,
            TASK.created_at,
            TASK.started_at,
            TASK.finished_at,
            TASK.same_as,
            TASK.external_id,
            TASK.metadata,
            TASK.progress,
            TASK.log,
            TASK.reason,
            TASK.args,
            LANE.queue,
            LANE.type,
            LANE.python,
            LANE.tags,
            LANE.key_ids,
            LANE.lacking,
            optional(FUNCTION.hash),
            optional(BATCH.kwargs),
            optional(WORKER.host),
        )
        .from_(TASK)
        .join(LANE, LANE.id == TASK.lane_id)
        .left_join(FUNCTION, FUNCTION.id == LANE.function_id)
        .left_join(BATCH, BATCH.id == LANE.batch_id)
        .left_join(WORKER, WORKER.id == TASK.worker_id)
        .where(TASK.id == Bind("id", BIGINT))
    )


def task(id: int) -> Statement[TaskRow]:
    """One task."""
    return _task.bind(id=id)


class RunRow(NamedTuple):
    """The record of one run that did not succeed."""

    run: int
    attempt: int
    outcome: str
    error_type: str | None
    error: str | None
    traceback: str | None
    log: str | None


@template(read=RunRow._make)
def _last_run() -> Query[Any]:
    return (
        select(
            RUN.run,
            RUN.attempt,
            RUN.outcome.cast(TEXT).as_("outcome"),
            RUN.error_type,
            RUN.error,
            RUN.traceback,
            RUN.log,
        )
        .from_(RUN)
        .where(RUN.task_id == Bind("id", BIGINT))
        .order_by(RUN.run.desc())
        .limit(1)
    )


def last_run(id: int) -> Statement[RunRow]:
    """The last run of a task that did not succeed."""
    return _last_run.bind(id=id)


@template(read=tuple)
def _inputs() -> Query[Any]:
    span = unnest("span", first=Bind("firsts", array(BIGINT)), last=Bind("lasts", array(BIGINT)))
    source = TASK.as_("source")
    return (
        select(TASK.id, source.id.as_("source"), source.args)
        .from_(span)
        .join(TASK, (TASK.id >= span.first) & (TASK.id <= span.last))
        .join(source, source.id == coalesce(TASK.same_as, TASK.id))
        .order_by(TASK.id)
    )


def inputs(spans: Sequence[tuple[int, int]]) -> Statement[tuple[int, int, bytes | None]]:
    """Task, the task whose arguments it runs with, and those arguments, sealed, in order."""
    return _inputs.bind(firsts=[first for first, _ in spans], lasts=[last for _, last in spans])


@template(read=tuple)
def _digests() -> Query[Any]:
    return (
        select(BATCH_ITEMS.first, BATCH_ITEMS.digests)
        .from_(BATCH_ITEMS)
        .where(BATCH_ITEMS.batch_id == Bind("batch", BIGINT))
        .order_by(BATCH_ITEMS.first)
    )


def digests(batch: int) -> Statement[tuple[int, bytes]]:
    """The digests of a named batch's items, in pieces."""
    return _digests.bind(batch=batch)


@template(read=scalar)
def _age() -> Query[Any]:
    return select(epoch(now() - BATCH.created_at).as_("age")).from_(BATCH).where(BATCH.id == Bind("batch", BIGINT))


def age(batch: int) -> Statement[float]:
    """Seconds since a batch was made."""
    return _age.bind(batch=batch)

"""Batches, counts and single tasks, for clients. Not for: how tasks ended (``outcomes``), or frames (``looking``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from goque.model.states import Status
from goque.queries.moments import Word
from goque.queries.tally import COUNTERS
from goque.sql import (
    BIGINT,
    TEXT,
    Bind,
    Query,
    Statement,
    any_of,
    array,
    coalesce,
    epoch,
    function,
    lit,
    now,
    optional,
    present,
    scalar,
    select,
    subquery,
    sum_,
    template,
    unnest,
)
from goque.sql.tables import BATCH, BATCH_ITEMS, DEPENDENCY, FUNCTION, LANE, RUN, TALLY, TASK, WORKER


class BatchRow(NamedTuple):
    """A batch."""

    id: int
    owner: str
    name: str | None
    created_at: datetime
    total: int
    type: str
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
def _sharing() -> Query[Any]:
    from goque.sql import count

    in_range = (TASK.id >= Bind("first", BIGINT)) & (TASK.id <= Bind("last", BIGINT))
    return select(count().as_("n")).from_(TASK).where(in_range, TASK.same_as.is_not_null())


def sharing(first: int, last: int) -> Statement[int]:
    """How many tasks of a range share the outcome of another one."""
    return _sharing.bind(first=first, last=last)


@template(read=scalar)
def _followed_by() -> Query[Any]:
    return (
        select(DEPENDENCY.input_id)
        .from_(DEPENDENCY)
        .where(DEPENDENCY.dependant_id >= Bind("first", BIGINT), DEPENDENCY.dependant_id <= Bind("last", BIGINT))
    )


def followed_by(first: int, last: int) -> Statement[int]:
    """The tasks whose outcome those of a range share."""
    return _followed_by.bind(first=first, last=last)


@template(read=scalar)
def _kwargs() -> Query[Any]:
    return select(BATCH.kwargs).from_(BATCH).where(BATCH.id == Bind("id", BIGINT))


def kwargs(batch: int) -> Statement[bytes | None]:
    """The keyword arguments that all calls of a batch share, sealed."""
    return _kwargs.bind(id=batch)


class TaskRow(NamedTuple):
    """One task, as a person looks at it who need not be shown what it is called with (``call``)."""

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
    queue: str
    type: str
    python: str | None
    tags: list[str]
    key_ids: list[str]
    lacking: str | None
    function_hash: str | None
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
            LANE.queue,
            LANE.type,
            LANE.python,
            LANE.tags,
            LANE.key_ids,
            LANE.lacking,
            optional(FUNCTION.hash),
            optional(WORKER.host),
        )
        .from_(TASK)
        .join(LANE, LANE.id == TASK.lane_id)
        .left_join(FUNCTION, FUNCTION.id == LANE.function_id)
        .left_join(WORKER, WORKER.id == TASK.worker_id)
        .where(TASK.id == Bind("id", BIGINT))
    )


def task(id: int) -> Statement[TaskRow]:
    """One task."""
    return _task.bind(id=id)


@template(read=tuple)
def _call() -> Query[Any]:
    return select(TASK.args, TASK.payload).from_(TASK).where(TASK.id == Bind("id", BIGINT))


def call(id: int) -> Statement[tuple[bytes | None, Any]]:
    """What a task is called with: sealed arguments, or the payload of a named type."""
    return _call.bind(id=id)


class RunRow(NamedTuple):
    """The record of one run that did not succeed."""

    run: int
    attempt: int
    outcome: str
    error_type: str | None
    error: str | None
    traceback: str | None
    log: str | None
    worker_id: int | None
    started_at: datetime | None
    finished_at: datetime | None


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
            RUN.worker_id,
            RUN.started_at,
            RUN.finished_at,
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


@template(read=scalar)
def _matching() -> Query[Any]:
    statuses = Bind("statuses", array(TEXT), nullable=True)
    error_type = Bind("error_type", TEXT, nullable=True)
    last = select(RUN.error_type).from_(RUN).where(RUN.task_id == TASK.id).order_by(RUN.run.desc()).limit(1)
    # A name without its module fits as well, for builtins have none.
    named = coalesce(subquery(last), lit(Word.NOTHING).cast(TEXT))
    short = function("regexp_replace", TEXT, named, Bind("module", TEXT), Bind("nothing", TEXT))
    return (
        select(TASK.id)
        .from_(TASK)
        .where(
            TASK.id >= Bind("first", BIGINT),
            TASK.id <= Bind("last", BIGINT),
            statuses.is_null() | (TASK.status.cast(TEXT) == any_of(present(statuses))),
            error_type.is_null() | (named == present(error_type)) | (short == present(error_type)),
        )
        .order_by(TASK.id)
    )


def matching(first: int, last: int, statuses: Sequence[Status] | None, error_type: str | None) -> Statement[int]:
    """The tasks of a range of ids in one of these states, whose last failure was of this type."""
    return _matching.bind(
        first=first,
        last=last,
        statuses=None if statuses is None else [str(status) for status in statuses],
        error_type=None if error_type is None else error_type.removeprefix("builtins."),
        module=r"^.*\.",
        nothing="",
    )

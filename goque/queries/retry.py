"""Running again what has failed, or what is done. Not for: attempts that a worker makes by itself (``finish``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.model.identity import CACHED
from goque.model.states import RunOutcome, Status
from goque.queries.cancel import STEP, whoever
from goque.queries.looking import Spans, span, span_values
from goque.queries.moments import ready_now
from goque.queries.tally import counted
from goque.sql import (
    BIGINT,
    BOOLEAN,
    INTEGER,
    SMALLINT,
    TEXT,
    Bind,
    Query,
    Statement,
    any_of,
    array,
    case,
    coalesce,
    delete,
    exists,
    function,
    greatest,
    insert,
    lit,
    now,
    null,
    present,
    scalar,
    select,
    template,
    unnest,
    update,
)
from goque.sql.tables import BATCH, EXTERNAL_ID, LANE, RUN, TASK
from goque.sql.types import BYTEA, DOUBLE, TIMESTAMPTZ


class Retried(NamedTuple):
    """What a retry found: the status a task had, and why it was left alone (None: it runs again)."""

    id: int
    before: Status
    skipped: str | None


class Skip:
    """Why a retry leaves a task alone."""

    STOPPING = "still stopping"
    DUPLICATE = "its external id is taken"
    GONE = "its batch is deleted"
    FOLLOWER = "it shares the outcome of another task"


@template(read=Retried._make)
def _retry() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)))
    row = (
        select(
            TASK.id,
            TASK.lane_id,
            TASK.status.as_("before"),
            TASK.seq,
            TASK.same_as,
            TASK.external_id,
            TASK.run,
            TASK.worker_id,
            TASK.attempts,
            TASK.started_at,
            TASK.finished_at,
            TASK.result,
            TASK.cpu_s,
            TASK.max_rss_mb,
            TASK.log,
        )
        .from_(TASK)
        .where(
            TASK.id == wanted.id,
            TASK.status.in_([lit(Status.ATTEMPTS_LEFT), lit(Status.CANCELED), lit(Status.ERROR)])
            | ((TASK.status == lit(Status.DONE)) & Bind("force", BOOLEAN)),
        )
        .for_update()
        .sub("row")
    )
    found = select(*row._columns()).from_(wanted).cross_join_lateral(row).cte("found", materialized=True)
    # Held until we have committed: a batch is deleted with its lanes, unless somebody holds one.
    home = (
        select(LANE.id)
        .from_(LANE)
        .where(LANE.id.in_(select(found.lane_id).from_(found)))
        .for_key_share()
        .cte("home", materialized=True)
    )
    stopping = (found.before == lit(Status.CANCELED)) & coalesce(found.seq < lit(0), lit(False))
    held = (found.before == lit(Status.ERROR)) & coalesce(found.seq < lit(0), lit(False))
    is_there = exists(select(home.id).from_(home).where(home.id == found.lane_id))
    free = ~stopping & ~held & found.same_as.is_null() & is_there
    cached = coalesce(function("starts_with", BOOLEAN, found.external_id, CACHED, nullable=True), lit(False))
    has_no_id = found.external_id.is_null() | cached
    lost_id = ~has_no_id & found.before.in_([lit(Status.ATTEMPTS_LEFT), lit(Status.CANCELED)])
    # What it gives this time may be of another function, so nobody is to take it for that of its first one.
    forgotten = (
        delete(EXTERNAL_ID)
        .using(found)
        .where(EXTERNAL_ID.task_id == found.id, free, cached)
        .returning(EXTERNAL_ID.task_id)
        .cte("forgotten")
    )
    regained = (
        insert(EXTERNAL_ID)
        .columns(EXTERNAL_ID.type, EXTERNAL_ID.external_id, EXTERNAL_ID.task_id)
        .select(
            select(LANE.type, present(found.external_id).as_("external_id"), found.id)
            .from_(found)
            .join(LANE, LANE.id == found.lane_id)
            .where(free, lost_id)
            .order_by(found.external_id, LANE.type)
        )
        .on_conflict(EXTERNAL_ID.type, EXTERNAL_ID.external_id)
        .do_nothing()
        .returning(EXTERNAL_ID.task_id)
        .cte("regained")
    )
    has_id = ~lost_id | exists(select(regained.task_id).from_(regained).where(regained.task_id == found.id))
    # A success is told by its task; before it runs again it becomes a record of its own.
    kept = (
        insert(RUN)
        .columns(
            RUN.task_id,
            RUN.run,
            RUN.lane_id,
            RUN.worker_id,
            RUN.attempt,
            RUN.status,
            RUN.outcome,
            RUN.started_at,
            RUN.finished_at,
            RUN.result,
            RUN.cpu_s,
            RUN.max_rss_mb,
            RUN.log,
        )
        .select(
            select(
                found.id,
                found.run,
                found.lane_id,
                found.worker_id,
                found.attempts,
                lit(Status.DONE).as_("status"),
                lit(RunOutcome.DONE).as_("outcome"),
                found.started_at,
                coalesce(found.finished_at, now()).as_("finished_at"),
                found.result,
                found.cpu_s,
                found.max_rss_mb,
                found.log,
            )
            .from_(found)
            .where(found.before == lit(Status.DONE), free)
        )
        .on_conflict(RUN.task_id, RUN.run)
        .do_nothing()
        .returning(RUN.task_id)
        .cte("kept")
    )
    reset = Bind("reset", BOOLEAN)
    attempts = case((reset, lit(0)), else_=TASK.attempts + lit(0))
    lane = Bind("lane", BIGINT, nullable=True)
    again = (
        update(TASK)
        .set(TASK.status, case((found.before == lit(Status.ERROR), lit(Status.ERROR)), else_=lit(Status.NEW)))
        .set(TASK.seq, ready_now())
        .set(TASK.run_at, None)
        .set(TASK.attempts, attempts.cast(SMALLINT))
        .set(
            TASK.max_attempts,
            greatest(
                coalesce(Bind("max_attempts", SMALLINT, nullable=True), TASK.max_attempts), attempts + lit(1)
            ).cast(SMALLINT),
        )
        .set(TASK.losses, lit(0))
        .set(TASK.handbacks, lit(0))
        .set(TASK.lane_id, coalesce(lane, TASK.lane_id))
        .set(TASK.worker_id, None)
        .set(TASK.started_at, None)
        .set(TASK.finished_at, None)
        .set(TASK.result, None)
        .set(TASK.reason, None)
        .set(TASK.changed_by, whoever())
        .set(TASK.progress, None)
        .set(TASK.cpu_s, null(DOUBLE))
        .set(TASK.max_rss_mb, null(DOUBLE))
        .set(TASK.log, None)
        .set(TASK.expires_at, null(TIMESTAMPTZ))
        .set(TASK.checkpoint, case((reset, null(BYTEA)), else_=TASK.checkpoint))
        .from_(found)
        .where(TASK.id == found.id, free, has_id)
        .returning(TASK.id, found.lane_id.as_("old_lane"), TASK.lane_id, found.before, TASK.status.as_("after"))
        .cte("again")
    )
    gone = counted(again, before=again.before, lane=again.old_lane, name="gone")
    come = counted(again, after=again.after, name="come")
    why = case(
        (stopping, Bind("stopping", TEXT)),
        (found.same_as.is_not_null(), Bind("follower", TEXT)),
        (held, Bind("stopping", TEXT)),
        (~is_there, Bind("gone", TEXT)),
        (~has_id, Bind("duplicate", TEXT)),
        else_=null(TEXT),
    )
    return (
        select(found.id, found.before, why.as_("skipped"))
        .with_(found, home, forgotten, regained, kept, again, gone, come)
        .from_(found)
    )


def retry(
    ids: Sequence[int],
    *,
    reset: bool = True,
    force: bool = False,
    lane: int | None = None,
    max_attempts: int | None = None,
    owner: str = "",
) -> Statement[Retried]:
    """Make tasks ready again. Tasks that are not listed in the answer are neither failed nor canceled."""
    return _retry.bind(
        ids=sorted(ids),
        reset=reset,
        force=force,
        lane=lane,
        max_attempts=max_attempts,
        owner=owner,
        stopping=Skip.STOPPING,
        follower=Skip.FOLLOWER,
        duplicate=Skip.DUPLICATE,
        gone=Skip.GONE,
    )


@template(read=scalar)
def _keep_lanes() -> Query[Any]:
    return (
        update(RUN)
        .set(RUN.lane_id, TASK.lane_id)
        .from_(TASK)
        .where(RUN.task_id == any_of(Bind("ids", array(BIGINT))), TASK.id == RUN.task_id, RUN.lane_id.is_null())
        .returning(RUN.task_id)
    )


def keep_lanes(ids: Sequence[int]) -> Statement[int]:
    """Let the runs of tasks that may get another lane keep the one that they had, which tells what ran."""
    return _keep_lanes.bind(ids=sorted(ids))


@template(read=scalar)
def _retryable() -> Query[Any]:
    ranges = span()
    row = (
        select(TASK.id)
        .from_(TASK)
        .where(
            TASK.id >= ranges.first,
            TASK.id <= ranges.last,
            TASK.status.in_([lit(Status.ATTEMPTS_LEFT), lit(Status.CANCELED), lit(Status.ERROR)])
            | ((TASK.status == lit(Status.DONE)) & Bind("force", BOOLEAN)),
        )
        .order_by(TASK.id)
        # The size of the step, which also keeps the planner from reading the whole table.
        .limit(Bind("limit", INTEGER))
        .sub("row")
    )
    return select(row.id).from_(ranges).cross_join_lateral(row)


def retryable(spans: Spans, *, force: bool) -> Statement[int]:
    """The tasks of a step's ranges of ids that a retry would touch."""
    return _retryable.bind(force=force, limit=STEP, **span_values(spans))


@template(read=scalar)
def _reopen_batch() -> Query[Any]:
    return (
        update(BATCH)
        .set(BATCH.canceled_at, None)
        .set(BATCH.cancel_reason, None)
        .set(BATCH.changed_by, whoever())
        .set(BATCH.changed_at, now())
        .where(BATCH.id == Bind("batch", BIGINT))
        .returning(BATCH.id)
    )


def reopen_batch(batch: int, *, owner: str = "") -> Statement[int]:
    """A retry takes back the cancel of a whole batch; its closed lanes stay closed, so it needs a new one."""
    return _reopen_batch.bind(batch=batch, owner=owner)

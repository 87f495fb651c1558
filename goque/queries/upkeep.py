"""Keeping order: freeing lost tasks, promoting due ones, folding counts. Not for: removing (``cleaning``).

Every statement is bounded and skips what others have locked: whatever it leaves comes up again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from goque.model.states import MAX_LOSSES, RunOutcome, Status
from goque.queries.moments import ready_now
from goque.queries.statuses import FINAL, UNFINISHED
from goque.queries.tally import COUNTERS, counted
from goque.sql import (
    BIGINT,
    DOUBLE,
    INTEGER,
    SMALLINT,
    TEXT,
    Bind,
    Query,
    Statement,
    case,
    coalesce,
    count,
    delete,
    epoch,
    exists,
    insert,
    lit,
    max_,
    not_exists,
    now,
    null,
    present,
    scalar,
    seconds,
    select,
    sum_,
    template,
    unnest,
    update,
)
from goque.sql.tables import BATCH, CLAIM, DEPENDENCY, EXTERNAL_ID, LANE, RUN, TALLY, TASK, WORKER
from goque.sql.types import TIMESTAMPTZ

STEP = 1_000
"""Rows per step."""


def _dead() -> Any:
    return WORKER.lost_at.is_not_null() | WORKER.ended_at.is_not_null()


@template(read=tuple)
def _heal() -> Query[Any]:
    claims = (
        select(CLAIM.worker_id, CLAIM.number, CLAIM.task_ids)
        .from_(CLAIM)
        .where(exists(select(WORKER.id).from_(WORKER).where(WORKER.id == CLAIM.worker_id, _dead())))
        .limit(Bind("claims", INTEGER))
        .for_update(skip_locked=True)
        .cte("claims", materialized=True)
    )
    member = unnest("member", id=claims.task_ids)
    row = (
        select(
            TASK.id,
            TASK.lane_id,
            TASK.run,
            TASK.status.as_("before"),
            TASK.attempts,
            TASK.max_attempts,
            TASK.losses,
            TASK.started_at,
            TASK.external_id,
        )
        .from_(TASK)
        .where(
            TASK.id == member.id,
            TASK.worker_id == claims.worker_id,
            TASK.seq < lit(0),
            TASK.status.in_([*UNFINISHED, lit(Status.CANCELED)]),
        )
        .for_update(skip_locked=True)
        .sub("row")
    )
    was_running = row.before == lit(Status.PROCESSING)
    attempts = case((was_running, row.attempts + lit(1)), else_=row.attempts + lit(0))
    for_good = (was_running & (attempts >= row.max_attempts)) | (row.losses + lit(1) >= lit(MAX_LOSSES))
    locked = (
        select(
            row.id,
            row.lane_id,
            row.run,
            row.before,
            row.started_at,
            row.external_id,
            claims.worker_id,
            attempts.as_("attempts"),
            (row.losses + lit(1)).as_("losses"),
            case(
                (row.before == lit(Status.CANCELED), lit(Status.CANCELED)),
                (for_good, lit(Status.ATTEMPTS_LEFT)),
                (was_running, lit(Status.ERROR)),
                else_=row.before,
            ).as_("after"),
            case((was_running, lit(RunOutcome.LOST)), else_=lit(RunOutcome.LOST_UNKNOWN)).as_("outcome"),
        )
        .from_(claims)
        .cross_join_lateral(select(member.id).from_(member).sub("member"))
        .cross_join_lateral(row)
        .cte("locked", materialized=True)
    )
    runs_again = locked.after.in_([lit(Status.NEW), lit(Status.ERROR)])
    healed = (
        update(TASK)
        .set(TASK.status, locked.after)
        .set(TASK.attempts, locked.attempts.cast(SMALLINT))
        .set(TASK.losses, locked.losses.cast(SMALLINT))
        .set(TASK.seq, case((runs_again, ready_now()), else_=null(BIGINT)))
        .set(TASK.worker_id, None)
        .set(TASK.started_at, None)
        .set(
            TASK.finished_at,
            case(
                (locked.after == lit(Status.ATTEMPTS_LEFT), now()),
                (runs_again, null(TIMESTAMPTZ)),
                else_=TASK.finished_at,
            ),
        )
        .set(TASK.log, None)
        .from_(locked)
        .where(TASK.id == locked.id)
        .returning(TASK.id, TASK.lane_id, locked.before, TASK.status.as_("after"), TASK.external_id)
        .cte("healed")
    )
    counts = counted(healed, before=healed.before, after=healed.after)
    recorded = (
        insert(RUN)
        .columns(RUN.task_id, RUN.run, RUN.worker_id, RUN.attempt, RUN.status, RUN.outcome, RUN.started_at, RUN.error)
        .select(
            select(
                locked.id,
                locked.run,
                locked.worker_id,
                case((locked.outcome == lit(RunOutcome.LOST), locked.attempts), else_=locked.attempts + lit(1))
                .cast(SMALLINT)
                .as_("attempt"),
                case(
                    (locked.before == lit(Status.CANCELED), lit(Status.CANCELED)),
                    (locked.outcome == lit(RunOutcome.LOST), lit(Status.ERROR)),
                    else_=lit(Status.PENDING),
                ).as_("status"),
                case((locked.before == lit(Status.CANCELED), lit(RunOutcome.CANCELED)), else_=locked.outcome).as_(
                    "outcome"
                ),
                locked.started_at,
                Bind("message", TEXT).as_("error"),
            ).from_(locked)
        )
        .on_conflict(RUN.task_id, RUN.run)
        .do_nothing()
        .returning(RUN.task_id)
        .cte("recorded")
    )
    freed = (
        delete(EXTERNAL_ID)
        .using(healed)
        .where(
            EXTERNAL_ID.task_id == healed.id,
            healed.external_id.is_not_null(),
            healed.after == lit(Status.ATTEMPTS_LEFT),
        )
        .returning(EXTERNAL_ID.task_id)
        .cte("freed")
    )
    return select(healed.id, healed.after).with_(claims, locked, healed, counts, recorded, freed).from_(healed)


def heal(claims: int = 8) -> Statement[tuple[int, Status]]:
    """Free what lost workers held, a few claims at a time. Gives id and new status."""
    return _heal.bind(claims=claims, message="the worker that held it was lost")


@template(read=scalar)
def _forget_claims() -> Query[Any]:
    member = unnest("member", id=CLAIM.task_ids)
    still = (
        select(TASK.id)
        .from_(member)
        .join(TASK, TASK.id == member.id)
        .where(
            TASK.worker_id == CLAIM.worker_id,
            TASK.seq < lit(0),
            TASK.status.in_([*UNFINISHED, lit(Status.CANCELED)]),
        )
    )
    return (
        delete(CLAIM)
        .using(WORKER)
        .where(WORKER.id == CLAIM.worker_id, _dead(), not_exists(still))
        .returning(CLAIM.number)
    )


def forget_claims() -> Statement[int]:
    """Drop the claims of lost workers of which nothing is left to free."""
    return _forget_claims.bind()


@template(read=scalar)
def _left_behind() -> Query[Any]:
    return (
        select(CLAIM.number)
        .from_(CLAIM)
        .where(exists(select(WORKER.id).from_(WORKER).where(WORKER.id == CLAIM.worker_id, _dead())))
        .limit(1)
    )


def left_behind() -> Statement[int]:
    """A claim of a lost worker, if there is one: somebody's transaction holds what is left of it."""
    return _left_behind.bind()


class Input(NamedTuple):
    """A task whose outcome others share."""

    id: int
    final: bool


@template(read=Input._make)
def _inputs() -> Query[Any]:
    page = (
        select(DEPENDENCY.input_id)
        .from_(DEPENDENCY)
        .where(DEPENDENCY.input_id > Bind("after", BIGINT))
        .order_by(DEPENDENCY.input_id)
        .limit(Bind("limit", INTEGER))
        .sub("page")
    )
    return select(TASK.id, TASK.status.in_(FINAL).as_("final")).from_(page).join(TASK, TASK.id == page.input_id)


def inputs(after: int, limit: int = STEP) -> Statement[Input]:
    """The next tasks whose outcome others wait to share, one for each of those. A final one was missed."""
    return _inputs.bind(after=after, limit=limit)


@template(read=tuple)
def _half_canceled() -> Query[Any]:
    waits = TALLY.new + TALLY.pending + TALLY.processing + TALLY.error
    closed = (
        select(LANE.id, LANE.batch_id)
        .from_(LANE)
        .where(LANE.canceled_at < now() - seconds(Bind("patience", DOUBLE)), LANE.batch_id.is_not_null())
        .cte("closed")
    )
    return (
        select(closed.id, BATCH.id.as_("batch_id"), BATCH.total, BATCH.cancel_reason, BATCH.changed_by)
        .with_(closed)
        .from_(closed)
        .join(BATCH, BATCH.id == present(closed.batch_id))
        .join(TALLY, TALLY.lane_id == closed.id)
        .group_by(closed.id, BATCH.id, BATCH.total, BATCH.cancel_reason, BATCH.changed_by)
        .having(sum_(waits) > lit(0))
        .limit(10)
    )


def half_canceled(patience: float) -> Statement[tuple[int, int, int, str | None, str | None]]:
    """Lanes closed ``patience`` seconds ago with unfinished tasks: lane, batch, total, reason, and who wanted it."""
    return _half_canceled.bind(patience=patience)


@template(read=tuple)
def _promote() -> Query[Any]:
    due = (
        select(TASK.id, TASK.status.as_("before"))
        .from_(TASK)
        .where(TASK.run_at <= now())
        .order_by(TASK.run_at)
        .limit(Bind("limit", INTEGER))
        .for_update(skip_locked=True)
        .cte("due", materialized=True)
    )
    promoted = (
        update(TASK)
        .set(TASK.status, case((TASK.status == lit(Status.PENDING), lit(Status.NEW)), else_=TASK.status))
        .set(TASK.seq, ready_now())
        .set(TASK.run_at, None)
        .from_(due)
        .where(TASK.id == due.id)
        .returning(TASK.id, TASK.lane_id, due.before, TASK.status.as_("after"))
        .cte("promoted")
    )
    counts = counted(promoted, before=promoted.before, after=promoted.after)
    return select(promoted.id, promoted.lane_id).with_(due, promoted, counts).from_(promoted)


def promote(limit: int = STEP) -> Statement[tuple[int, int]]:
    """Make tasks ready whose time has come. Gives id and lane."""
    return _promote.bind(limit=limit)


@template(read=scalar)
def _next_due() -> Query[Any]:
    return (
        select(epoch(TASK.run_at - now()).as_("seconds"))
        .from_(TASK)
        .where(TASK.run_at.is_not_null())
        .order_by(TASK.run_at)
        .limit(1)
    )


def next_due() -> Statement[float]:
    """Seconds until the next task is due, negative when one is; no row when none waits for its time."""
    return _next_due.bind()


@template(read=scalar)
def _fold() -> Query[Any]:
    crowded = (
        select(TALLY.lane_id)
        .from_(TALLY)
        .group_by(TALLY.lane_id)
        .having(count() > Bind("crowd", BIGINT))
        .limit(Bind("lanes", INTEGER))
        .cte("crowded", materialized=True)
    )
    picked = (
        select(TALLY.ctid)
        .from_(crowded)
        .join(TALLY, TALLY.lane_id == crowded.lane_id)
        .limit(Bind("limit", INTEGER))
        .for_update(skip_locked=True, of=TALLY)
        .cte("picked", materialized=True)
    )
    gone = (
        delete(TALLY)
        .using(picked)
        .where(TALLY.ctid == picked.ctid)
        .returning(TALLY.lane_id, *COUNTERS.values(), TALLY.changed_at)
        .cte("gone")
    )
    sums = [coalesce(sum_(gone[column]), lit(0)).as_(column.name) for column in COUNTERS.values()]
    last = coalesce(max_(gone.changed_at), now())
    return (
        insert(TALLY)
        .columns(TALLY.lane_id, *COUNTERS.values(), TALLY.changed_at)
        .select(select(gone.lane_id, *sums, last.as_("last")).from_(gone).group_by(gone.lane_id))
        .with_(crowded, picked, gone)
        .returning(TALLY.lane_id)
    )


def fold(*, crowd: int = 20, lanes: int = 50, limit: int = 5_000) -> Statement[int]:
    """Sum up the counts of lanes that have more than ``crowd`` changes. Gives the lanes."""
    return _fold.bind(crowd=crowd, lanes=lanes, limit=limit)

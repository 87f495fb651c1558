"""Giving back what was claimed and not run, fenced as in ``finish``. Not for: runs that ended (``finish``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.model.states import Status
from goque.queries.finish import fenced, lock_fenced
from goque.queries.statuses import UNFINISHED
from goque.queries.tally import counted
from goque.sql.columns import unnest
from goque.sql.expressions import Bind, lit
from goque.sql.functions import any_of, case
from goque.sql.query import Query
from goque.sql.select import select
from goque.sql.statement import Statement, scalar, template
from goque.sql.tables import CLAIM, TASK
from goque.sql.types import BIGINT, array
from goque.sql.writes import delete, update


@template(read=scalar)
def _still_held() -> Query[Any]:
    rows = unnest("held", id=Bind("ids", array(BIGINT)), run=Bind("runs", array(BIGINT)))
    mine = [*UNFINISHED, lit(Status.CANCELED)]
    return select(TASK.id).from_(rows).join(TASK, fenced(rows)).where(TASK.status.in_(mine))


def still_held(worker: int, tasks: Sequence[tuple[int, int]]) -> Statement[int]:
    """Which of these ``(id, run)`` this worker still holds, canceled ones that are not settled included."""
    return _still_held.bind(worker=worker, ids=[task for task, _ in tasks], runs=[run for _, run in tasks])


@template(read=scalar)
def _hand_back() -> Query[Any]:
    rows = unnest("returned", id=Bind("ids", array(BIGINT)), run=Bind("runs", array(BIGINT)))
    locked = lock_fenced(rows, TASK.status.in_(UNFINISHED))
    back = (
        update(TASK)
        .set(TASK.status, case((TASK.status == lit(Status.PROCESSING), lit(Status.NEW)), else_=TASK.status))
        .set(TASK.seq, -TASK.seq)
        .set(TASK.worker_id, None)
        .set(TASK.started_at, None)
        .from_(locked)
        .where(TASK.id == locked.id)
        .returning(TASK.id, TASK.lane_id, locked.before, TASK.status.as_("after"))
        .cte("back")
    )
    counts = counted(back, before=back.before, after=back.after)
    return select(back.id).with_(locked, back, counts).from_(back)


def hand_back(worker: int, tasks: Sequence[tuple[int, int]]) -> Statement[int]:
    """Give back ``(id, run)`` whose code has not been started: nothing is charged, nothing recorded, the place kept."""
    ordered = sorted(tasks)
    return _hand_back.bind(worker=worker, ids=[task for task, _ in ordered], runs=[run for _, run in ordered])


@template(read=scalar)
def _close_claims() -> Query[Any]:
    return (
        delete(CLAIM)
        .where(CLAIM.worker_id == Bind("worker", BIGINT), CLAIM.number == any_of(Bind("numbers", array(BIGINT))))
        .returning(CLAIM.number)
    )


def close_claims(worker: int, numbers: Sequence[int]) -> Statement[int]:
    """Every task of these claims is over or handed back."""
    return _close_claims.bind(worker=worker, numbers=list(numbers))

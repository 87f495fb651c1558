"""Canceling, of one task, a range of ids, a batch, or what expired. Not for: stopping the code, which its worker does.

Bulk verbs work in small steps. Each step takes the next rows by id, skips those that somebody else has locked and says
how far it came, so that no statement holds more than a few thousand locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.model.states import EXPIRED, Status
from goque.queries.looking import Spans, span, span_values
from goque.queries.statuses import UNFINISHED
from goque.queries.tally import counted
from goque.sql import (
    BIGINT,
    INTEGER,
    TEXT,
    Bind,
    Condition,
    Cte,
    Expression,
    Query,
    Statement,
    array,
    case,
    concat,
    delete,
    lit,
    now,
    null,
    scalar,
    select,
    template,
    unnest,
    update,
)
from goque.sql.functions import session_user
from goque.sql.tables import BATCH, EXTERNAL_ID, LANE, TASK

STEP = 2_000
"""Rows per step."""


def in_range() -> Condition:
    return (TASK.id >= Bind("first", BIGINT)) & (TASK.id <= Bind("last", BIGINT))


def whoever() -> Expression[str]:
    """Who asks for it: the database's user, and the owner that he says he is, in whose name no "/" can be."""
    return concat(session_user(), "/", Bind("owner", TEXT))


def _canceled(picked: Cte, by: Expression[str] | Expression[str | None] | None = None) -> Query[Any]:
    """Cancel the picked rows. Worker, run and a negative seq stay: the code may still run, and must be stopped."""
    canceled = (
        update(TASK)
        .set(TASK.status, lit(Status.CANCELED))
        .set(TASK.seq, case((TASK.seq < lit(0), TASK.seq), else_=null(BIGINT)))
        .set(TASK.run_at, None)
        .set(TASK.finished_at, now())
        .set(TASK.reason, Bind("reason", TEXT, nullable=True))
        .set(TASK.changed_by, whoever() if by is None else by)
        .from_(picked)
        .where(TASK.id == picked.id)
        .returning(TASK.id, TASK.lane_id, picked.before, TASK.status.as_("after"), TASK.external_id)
        .cte("canceled")
    )
    counts = counted(canceled, before=canceled.before, after=canceled.after)
    freed = (
        delete(EXTERNAL_ID)
        .using(canceled)
        .where(EXTERNAL_ID.task_id == canceled.id, canceled.external_id.is_not_null())
        .returning(EXTERNAL_ID.task_id)
        .cte("freed")
    )
    return select(canceled.id).with_(picked, canceled, counts, freed).from_(canceled)


@template(read=scalar)
def _cancel_within() -> Query[Any]:
    ranges, limit = span(), Bind("limit", INTEGER)
    row = (
        select(TASK.id, TASK.status.as_("before"))
        .from_(TASK)
        .where(TASK.id >= ranges.first, TASK.id <= ranges.last, TASK.status.in_(UNFINISHED))
        .order_by(TASK.id)
        .limit(limit)
        .for_update(skip_locked=True)
        .sub("row")
    )
    picked = (
        select(row.id, row.before).from_(ranges).cross_join_lateral(row).limit(limit).cte("picked", materialized=True)
    )
    return _canceled(picked)


def cancel_within(spans: Spans, reason: str | None, limit: int = STEP, *, owner: str = "") -> Statement[int]:
    """Cancel the next unfinished tasks of ranges of ids. Gives the ids that it canceled."""
    return _cancel_within.bind(reason=reason, limit=limit, owner=owner, **span_values(spans))


@template(read=scalar)
def _cancel_lane() -> Query[Any]:
    picked = (
        select(TASK.id, TASK.status.as_("before"))
        .from_(TASK)
        .where(in_range(), TASK.lane_id == Bind("lane", BIGINT), TASK.status.in_(UNFINISHED))
        .order_by(TASK.id)
        .for_update(skip_locked=True)
        .cte("picked", materialized=True)
    )
    return _canceled(picked)


def cancel_lane(lane: int, first: int, last: int, reason: str | None, *, owner: str = "") -> Statement[int]:
    """Cancel the unfinished tasks of a range of ids that are still in this lane, which a retry makes them leave."""
    return _cancel_lane.bind(lane=lane, first=first, last=last, reason=reason, owner=owner)


@template(read=scalar)
def _unfinished_within() -> Query[Any]:
    ranges = span()
    row = (
        select(TASK.id)
        .from_(TASK)
        .where(TASK.id >= ranges.first, TASK.id <= ranges.last, TASK.status.in_(UNFINISHED))
        .order_by(TASK.id)
        .limit(1)
        .sub("row")
    )
    return select(row.id).from_(ranges).cross_join_lateral(row).limit(1)


def unfinished_within(spans: Spans) -> Statement[int]:
    """An unfinished task of ranges of ids, if there is one."""
    return _unfinished_within.bind(**span_values(spans))


@template(read=scalar)
def _cancel_tasks() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)))
    row = (
        select(TASK.id, TASK.status.as_("before"))
        .from_(TASK)
        .where(TASK.id == wanted.id, TASK.status.in_(UNFINISHED))
        .for_update()
        .sub("row")
    )
    picked = select(row.id, row.before).from_(wanted).cross_join_lateral(row).cte("picked", materialized=True)
    return _canceled(picked)


def cancel_tasks(ids: Sequence[int], reason: str | None, *, owner: str = "") -> Statement[int]:
    """Cancel these tasks as far as they are not final. Gives the ids that it canceled."""
    return _cancel_tasks.bind(ids=sorted(ids), reason=reason, owner=owner)


@template(read=scalar)
def _expire() -> Query[Any]:
    # The words of the partial index: what waits for a worker or for its time. Nothing that is held or final is in it.
    waits = (TASK.seq > lit(0)) | TASK.run_at.is_not_null()
    picked = (
        select(TASK.id, TASK.status.as_("before"))
        .from_(TASK)
        .where(TASK.expires_at < now(), waits)
        .order_by(TASK.expires_at)
        .limit(Bind("limit", INTEGER))
        .for_update(skip_locked=True)
        .cte("picked", materialized=True)
    )
    return _canceled(picked, by=null(TEXT))


def expire(limit: int = STEP) -> Statement[int]:
    """Cancel the next tasks that have not begun by the time given as ``expires``. Gives the ids."""
    return _expire.bind(reason=EXPIRED, limit=limit)


@template(read=scalar)
def _close_lanes() -> Query[Any]:
    lanes = (
        update(LANE)
        .set(LANE.canceled_at, now())
        .where(LANE.batch_id == Bind("batch", BIGINT), LANE.canceled_at.is_null())
        .returning(LANE.id)
        .cte("lanes")
    )
    batch = (
        update(BATCH)
        .set(BATCH.canceled_at, now())
        .set(BATCH.changed_at, now())
        .set(BATCH.cancel_reason, Bind("reason", TEXT, nullable=True))
        .set(BATCH.changed_by, whoever())
        .where(BATCH.id == Bind("batch", BIGINT))
        .returning(BATCH.id)
        .cte("batch_row")
    )
    return select(lanes.id).with_(lanes, batch).from_(lanes)


def close_lanes(batch: int, reason: str | None, *, owner: str = "") -> Statement[int]:
    """Stop all claims of a batch at once; its rows are canceled after this, step by step."""
    return _close_lanes.bind(batch=batch, reason=reason, owner=owner)

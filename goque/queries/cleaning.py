"""Removing what is past its retention and not needed by anything. Not for: when (``maintenance.cleaner``).

What may be removed is found and locked by one statement and removed by the next one of the same transaction. Whoever
begins to share a task's outcome locks that task, or its batch, until it commits (``duplicates.hold``): so
either the first statement skips what is locked, or the second, whose snapshot is newer, sees who shares it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple

from goque.model.identity import FIRST_BATCH_TASK
from goque.model.retention import GONE_S, UNUSED_S
from goque.model.states import Status
from goque.queries.retention import DONE_S, FAILED_S
from goque.queries.statuses import FINAL
from goque.queries.tally import COUNTERS, counted
from goque.sql import (
    BIGINT,
    DOUBLE,
    INTEGER,
    TEXT,
    Bind,
    Expression,
    Query,
    Statement,
    array,
    case,
    coalesce,
    count,
    delete,
    epoch,
    function,
    lit,
    max_,
    min_,
    not_exists,
    now,
    present,
    scalar,
    seconds,
    select,
    sum_,
    template,
    unnest,
    update,
)
from goque.sql.tables import (
    BATCH,
    CLAIM,
    DEPENDENCY,
    EXTERNAL_ID,
    FUNCTION,
    LANE,
    MAINTENANCE,
    QUEUE,
    RUN,
    SCHEDULE,
    TALLY,
    TASK,
    WORKER,
)

STEP = 1_000
"""Rows removed by one statement."""


# Whose turn


@template(read=scalar)
def _take_turn() -> Query[Any]:
    # The absolute difference, so that a clock that was set back does not stop the turns.
    due = function("abs", DOUBLE, epoch(now() - MAINTENANCE.last_at)) >= Bind("interval", DOUBLE)
    name = MAINTENANCE.name == Bind("name", TEXT)
    turn = select(MAINTENANCE.name).from_(MAINTENANCE).where(name, due).for_update(skip_locked=True).cte("turn")
    return (
        update(MAINTENANCE)
        .set(MAINTENANCE.last_at, now())
        .from_(turn)
        .where(MAINTENANCE.name == turn.name)
        .with_(turn)
        .returning(MAINTENANCE.name)
    )


def take_turn(interval: float) -> Statement[str]:
    """Clean now, unless somebody has begun to within ``interval`` seconds; then no row. Said again, it is kept."""
    return _take_turn.bind(interval=interval, name="clean")


def in_queue() -> Bind[Any]:
    return Bind("queue", TEXT, nullable=True)


# Single tasks


class Page(NamedTuple):
    """Where a page of single tasks ends, and seconds since the oldest of them was made; None when there is none."""

    last: int | None
    age: float | None


@template(read=Page._make)
def _page() -> Query[Any]:
    page = (
        select(TASK.id, TASK.created_at)
        .from_(TASK)
        .where(TASK.id > Bind("after", BIGINT), TASK.id < lit(FIRST_BATCH_TASK))
        .order_by(TASK.id)
        .limit(Bind("limit", INTEGER))
        .sub("page")
    )
    return select(max_(page.id).as_("last"), epoch(now() - min_(page.created_at)).as_("age")).from_(page)


def page(after: int, limit: int = STEP) -> Statement[Page]:
    """The next single tasks, whatever their state, in the order of their ids, which is nearly that of time."""
    return _page.bind(after=after, limit=limit)


def _old_singles(*columns: Expression[Any]) -> Any:
    keep = coalesce(
        LANE.keep_s,
        case(
            (TASK.status == lit(Status.DONE), coalesce(QUEUE.keep_done_s, DONE_S)),
            else_=coalesce(QUEUE.keep_failed_s, FAILED_S),
        ),
    )
    queue = in_queue()
    return (
        select(*columns)
        .from_(TASK)
        .join(LANE, LANE.id == TASK.lane_id)
        .left_join(QUEUE, QUEUE.name == LANE.queue)
        .where(
            TASK.id > Bind("after", BIGINT),
            TASK.id <= Bind("last", BIGINT),
            TASK.status.in_(FINAL),
            # The code of a canceled task may still run.
            (TASK.status != lit(Status.CANCELED)) | TASK.seq.is_null(),
            epoch(now() - coalesce(TASK.finished_at, TASK.created_at)) > keep,
            queue.is_null() | (LANE.queue == queue),
        )
    )


@template(read=scalar)
def _lock_old_singles() -> Query[Any]:
    found: Query[Any] = _old_singles(TASK.id).for_update(skip_locked=True, of=TASK)
    return found


def lock_old_singles(after: int, last: int, queue: str | None) -> Statement[int]:
    """Lock the single tasks of a page that are past their retention, of one queue or any; those that nobody holds."""
    return _lock_old_singles.bind(after=after, last=last, queue=queue)


@template(read=scalar)
def _count_old_singles() -> Query[Any]:
    found: Query[Any] = _old_singles(count().as_("n"))
    return found


def count_old_singles(after: int, last: int, queue: str | None) -> Statement[int]:
    """How many single tasks of a page are past their retention."""
    return _count_old_singles.bind(after=after, last=last, queue=queue)


@template(read=scalar)
def _delete_singles() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)))
    follower = TASK.as_("follower")
    last_slot = (
        select(SCHEDULE.name)
        .from_(SCHEDULE)
        .join(LANE, LANE.type == SCHEDULE.type)
        .where(LANE.id == TASK.lane_id, SCHEDULE.last_at == present(TASK.slot))
    )
    gone = (
        delete(TASK)
        .using(wanted)
        .where(
            TASK.id == wanted.id,
            not_exists(select(follower.id).from_(follower).where(follower.same_as == TASK.id)),
            not_exists(select(DEPENDENCY.input_id).from_(DEPENDENCY).where(DEPENDENCY.input_id == TASK.id)),
            TASK.slot.is_null() | not_exists(last_slot),
        )
        .returning(TASK.id, TASK.lane_id, TASK.status, TASK.external_id)
        .cte("gone")
    )
    runs = delete(RUN).using(gone).where(RUN.task_id == gone.id).returning(RUN.task_id).cte("runs")
    freed = (
        delete(EXTERNAL_ID)
        .using(gone)
        .where(EXTERNAL_ID.task_id == gone.id, gone.external_id.is_not_null())
        .returning(EXTERNAL_ID.task_id)
        .cte("freed")
    )
    edges = (
        delete(DEPENDENCY)
        .using(gone)
        .where(DEPENDENCY.dependant_id == gone.id)
        .returning(DEPENDENCY.dependant_id)
        .cte("edges")
    )
    counts = counted(gone, before=gone.status)
    return select(count().as_("n")).with_(gone, runs, freed, edges, counts).from_(gone)


def delete_singles(ids: Sequence[int]) -> Statement[int]:
    """Remove these tasks, which are locked, with all that is theirs, but for those that something needs. How many."""
    return _delete_singles.bind(ids=list(ids))


# What tasks name


@template(read=scalar)
def _delete_lanes() -> Query[Any]:
    some = reduce(add, COUNTERS.values(), lit(0))
    has_tasks = (
        select(TALLY.lane_id)
        .from_(TALLY)
        .where(TALLY.lane_id == LANE.id)
        .group_by(TALLY.lane_id)
        .having(coalesce(sum_(some), lit(0)) != lit(0))
    )
    batch = select(BATCH.id).from_(BATCH).where(BATCH.id == present(LANE.batch_id))
    unused = (
        select(LANE.id)
        .from_(LANE)
        .where(
            LANE.last_used_at < now() - seconds(Bind("unused", DOUBLE)),
            not_exists(has_tasks),
            # Of batches that could not be stored; a batch that was takes its lanes along.
            LANE.batch_id.is_null() | not_exists(batch),
        )
        .limit(Bind("limit", INTEGER))
        .for_update(skip_locked=True)
        .cte("unused", materialized=True)
    )
    counts = delete(TALLY).using(unused).where(TALLY.lane_id == unused.id).returning(TALLY.lane_id).cte("counts")
    return delete(LANE).using(unused).where(LANE.id == unused.id).with_(unused, counts).returning(LANE.id)


def delete_lanes(limit: int = STEP) -> Statement[int]:
    """Remove lanes that no task names and nobody has used for a while."""
    return _delete_lanes.bind(unused=UNUSED_S, limit=limit)


@template(read=scalar)
def _delete_functions() -> Query[Any]:
    named = select(LANE.id).from_(LANE).where(LANE.function_id == FUNCTION.id)
    unused = (
        select(FUNCTION.id)
        .from_(FUNCTION)
        .where(FUNCTION.last_used_at < now() - seconds(Bind("unused", DOUBLE)), not_exists(named))
        .limit(Bind("limit", INTEGER))
        .for_update(skip_locked=True)
        .cte("unused", materialized=True)
    )
    return delete(FUNCTION).using(unused).where(FUNCTION.id == unused.id).with_(unused).returning(FUNCTION.id)


def delete_functions(limit: int = STEP) -> Statement[int]:
    """Remove functions that no lane names and nobody has used for a while."""
    return _delete_functions.bind(unused=UNUSED_S, limit=limit)


@template(read=scalar)
def _delete_stray_counts() -> Query[Any]:
    stray = (
        select(TALLY.ctid)
        .from_(TALLY)
        .where(not_exists(select(LANE.id).from_(LANE).where(LANE.id == TALLY.lane_id)))
        .limit(Bind("limit", INTEGER))
        .for_update(skip_locked=True)
        .cte("stray", materialized=True)
    )
    return delete(TALLY).using(stray).where(TALLY.ctid == stray.ctid).with_(stray).returning(TALLY.lane_id)


def delete_stray_counts(limit: int = STEP) -> Statement[int]:
    """Remove counts of lanes that are gone: somebody summed them up at the same moment."""
    return _delete_stray_counts.bind(limit=limit)


# Who has worked


@template(read=scalar)
def _delete_workers() -> Query[Any]:
    gone = (
        select(WORKER.id)
        .from_(WORKER)
        .where(
            coalesce(WORKER.ended_at, WORKER.lost_at) < now() - seconds(Bind("gone", DOUBLE)),
            # The healer finds by it what it held.
            not_exists(select(CLAIM.worker_id).from_(CLAIM).where(CLAIM.worker_id == WORKER.id)),
        )
        .limit(Bind("limit", INTEGER))
        .for_update(skip_locked=True)
        .cte("gone", materialized=True)
    )
    return delete(WORKER).using(gone).where(WORKER.id == gone.id).with_(gone).returning(WORKER.id)


def delete_workers(limit: int = STEP) -> Statement[int]:
    """Remove what is known of workers that are gone for long; runs that are kept for longer lose host and pid."""
    return _delete_workers.bind(gone=GONE_S, limit=limit)

"""Deleting batches, those that are past their retention and those that people do not want. Not for: tasks one by one.

A batch is locked with its lanes by one statement, and what may need it is asked by the next one of the same
transaction. Whoever begins to share an outcome locks the batch, and whoever retries a task its lane, until the commit
(``duplicates.hold``, ``retry``): so either they are seen, or they wait and find that the batch is gone.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, NamedTuple

from goque.model.identity import SPAN, task_id
from goque.model.states import UNFINISHED, Status
from goque.queries.cleaning import in_queue
from goque.queries.retention import BATCHES_S
from goque.queries.tally import COUNTERS
from goque.sql import (
    BIGINT,
    INTEGER,
    Bind,
    ColumnRef,
    Condition,
    Expression,
    Query,
    Statement,
    bool_or,
    coalesce,
    count,
    delete,
    epoch,
    exists,
    insert,
    lit,
    max_,
    min_,
    now,
    scalar,
    select,
    subquery,
    sum_,
    template,
    unnest,
)
from goque.sql.tables import (
    BATCH,
    BATCH_ITEMS,
    CLAIM,
    DELETED_BATCH,
    DEPENDENCY,
    EXTERNAL_ID,
    LANE,
    QUEUE,
    RUN,
    TALLY,
    TASK,
)


class Old(NamedTuple):
    """A batch; ``age`` is seconds since it was made, ``due`` whether its retention is over."""

    id: int
    total: int
    age: float
    due: bool


def _unfinished() -> Expression[int]:
    return reduce(add, (COUNTERS[status] for status in sorted(UNFINISHED)), lit(0))


@template(read=Old._make)
def _batches() -> Query[Any]:
    page = (
        select(BATCH.id, BATCH.total, BATCH.created_at, BATCH.changed_at, BATCH.keep_s)
        .from_(BATCH)
        .where(BATCH.id > Bind("after", BIGINT))
        .order_by(BATCH.id)
        .limit(Bind("limit", INTEGER))
        .sub("page")
    )
    queue = in_queue()
    facts = (
        select(
            coalesce(sum_(_unfinished()), lit(0)).as_("unfinished"),
            max_(TALLY.changed_at).as_("changed_at"),
            max_(coalesce(QUEUE.keep_batches_s, BATCHES_S)).as_("keep_s"),
            bool_or(queue.is_null() | (LANE.queue == queue)).as_("wanted"),
        )
        .from_(LANE)
        .left_join(TALLY, TALLY.lane_id == LANE.id)
        .left_join(QUEUE, QUEUE.name == LANE.queue)
        .where(LANE.batch_id == page.id)
        .sub("facts")
    )
    keep = coalesce(page.keep_s, facts.keep_s, BATCHES_S)
    over = epoch(now() - coalesce(facts.changed_at, page.changed_at)) > keep
    untouched = epoch(now() - page.changed_at) > keep
    due = (facts.unfinished == lit(0)) & over & untouched & coalesce(facts.wanted, lit(False))
    return (
        select(page.id, page.total, epoch(now() - page.created_at).as_("age"), due.as_("due"))
        .from_(page)
        .cross_join_lateral(facts)
    )


def batches(after: int, queue: str | None, limit: int = 200) -> Statement[Old]:
    """The next batches by id, with whether they are past their retention; of one queue or of any."""
    return _batches.bind(after=after, queue=queue, limit=limit)


@template(read=scalar)
def _lock_batch() -> Query[Any]:
    return select(BATCH.total).from_(BATCH).where(BATCH.id == Bind("batch", BIGINT)).for_update(skip_locked=True)


def lock_batch(batch: int) -> Statement[int]:
    """Lock a batch, unless somebody holds it; gives its total."""
    return _lock_batch.bind(batch=batch)


@template(read=scalar)
def _lock_lanes() -> Query[Any]:
    return select(LANE.id).from_(LANE).where(LANE.batch_id == Bind("batch", BIGINT)).for_update(skip_locked=True)


def lock_lanes(batch: int) -> Statement[int]:
    """Lock the lanes of a batch that nobody holds; a retry holds them."""
    return _lock_lanes.bind(batch=batch)


class Needs(NamedTuple):
    """What may keep a batch from being removed; how many lanes it has."""

    lanes: int
    unfinished: int
    stopping: bool
    """Code of a canceled task may still run."""
    followed: bool
    """Tasks elsewhere share the outcome of some of its own."""


@template(read=Needs._make)
def _needs() -> Query[Any]:
    first, last = Bind("first", BIGINT), Bind("last", BIGINT)
    batch = LANE.batch_id == Bind("batch", BIGINT)
    lanes = select(count().as_("n")).from_(LANE).where(batch).sub("lanes")
    counts = (
        select(coalesce(sum_(_unfinished()), lit(0)).as_("unfinished"))
        .from_(LANE)
        .join(TALLY, TALLY.lane_id == LANE.id)
        .where(batch)
        .sub("counts")
    )
    # Claims are few, tasks may be many.
    held = unnest("held", id=CLAIM.task_ids)
    stopping = (
        select(TASK.id)
        .from_(CLAIM)
        .cross_join_lateral(select(held.id).from_(held).where(held.id >= first, held.id <= last).sub("held"))
        .join(TASK, TASK.id == held.id)
        .where(TASK.status == lit(Status.CANCELED), TASK.seq < lit(0))
    )
    shares = (
        select(TASK.id)
        .from_(TASK)
        .where(TASK.same_as >= first, TASK.same_as <= last, (TASK.id < first) | (TASK.id > last))
    )
    waits = (
        select(DEPENDENCY.dependant_id)
        .from_(DEPENDENCY)
        .where(
            DEPENDENCY.input_id >= first,
            DEPENDENCY.input_id <= last,
            (DEPENDENCY.dependant_id < first) | (DEPENDENCY.dependant_id > last),
        )
    )
    return (
        select(
            lanes.n.as_("lanes"),
            counts.unfinished,
            exists(stopping).as_("stopping"),
            (exists(shares) | exists(waits)).as_("followed"),
        )
        .from_(lanes)
        .cross_join(counts)
    )


def needs(batch: int, total: int) -> Statement[Needs]:
    """What may keep a batch from being removed."""
    return _needs.bind(batch=batch, first=task_id(batch, 0), last=task_id(batch, total) - 1)


@template(read=scalar)
def _followers() -> Query[Any]:
    first, last = Bind("first", BIGINT), Bind("last", BIGINT)
    batch = (TASK.id // lit(SPAN)).as_("batch")
    return select(batch).distinct().from_(TASK).where(TASK.same_as >= first, TASK.same_as <= last)


def followers(batch: int, total: int) -> Statement[int]:
    """The batches, perhaps itself, whose tasks share an outcome of this one's; below the first batch: single tasks."""
    return _followers.bind(first=task_id(batch, 0), last=task_id(batch, total) - 1)


@template(read=scalar)
def _delete_batch() -> Query[Any]:
    batch = Bind("batch", BIGINT)
    gone = delete(BATCH).where(BATCH.id == batch).returning(BATCH.id, BATCH.total).cte("gone")
    lanes = delete(LANE).where(LANE.batch_id == batch).returning(LANE.id).cte("lanes")
    counts = delete(TALLY).using(lanes).where(TALLY.lane_id == lanes.id).returning(TALLY.lane_id).cte("counts")
    items = delete(BATCH_ITEMS).where(BATCH_ITEMS.batch_id == batch).returning(BATCH_ITEMS.first).cte("items")
    return (
        insert(DELETED_BATCH)
        .columns(DELETED_BATCH.id, DELETED_BATCH.total)
        .select(select(gone.id, gone.total).from_(gone))
        .with_(gone, lanes, counts, items)
        .returning(DELETED_BATCH.id)
    )


def delete_batch(batch: int) -> Statement[int]:
    """Remove a batch, which is locked, and its lanes, so that nobody sees its tasks; and note that they are to go."""
    return _delete_batch.bind(batch=batch)


@template(read=tuple)
def _deleted() -> Query[Any]:
    return select(DELETED_BATCH.id, DELETED_BATCH.total).from_(DELETED_BATCH).order_by(DELETED_BATCH.id).limit(100)


def deleted() -> Statement[tuple[int, int]]:
    """Batches that are gone and have tasks left: id and total."""
    return _deleted.bind()


def _of_range(column: ColumnRef[int]) -> Condition:
    return (column >= Bind("first", BIGINT)) & (column <= Bind("last", BIGINT))


@template(read=scalar)
def _delete_range() -> Query[Any]:
    free = (
        select(TASK.id)
        .from_(TASK)
        .where(_of_range(TASK.id))
        .for_update(skip_locked=True)
        .cte("free", materialized=True)
    )
    gone = delete(TASK).using(free).where(TASK.id == free.id).returning(TASK.id).cte("gone")
    runs = delete(RUN).where(_of_range(RUN.task_id)).returning(RUN.task_id).cte("runs")
    freed = delete(EXTERNAL_ID).where(_of_range(EXTERNAL_ID.task_id)).returning(EXTERNAL_ID.task_id).cte("freed")
    edges = delete(DEPENDENCY).where(_of_range(DEPENDENCY.dependant_id)).returning(DEPENDENCY.dependant_id).cte("edges")
    return select(count().as_("n")).with_(free, gone, runs, freed, edges).from_(gone)


def delete_range(first: int, last: int) -> Statement[int]:
    """Remove the tasks of a range of a batch that is gone, with all that is theirs; those that nobody holds."""
    return _delete_range.bind(first=first, last=last)


@template(read=scalar)
def _forget() -> Query[Any]:
    batch = Bind("batch", BIGINT)
    # The least id, which is read from the key; of EXISTS the planner may think that any row will do, and find none.
    left = subquery(select(min_(TASK.id).as_("id")).from_(TASK).where(_of_range(TASK.id)))
    return delete(DELETED_BATCH).where(DELETED_BATCH.id == batch, left.is_null()).returning(DELETED_BATCH.id)


def forget(batch: int, total: int) -> Statement[int]:
    """Nothing is left of a batch; no row when somebody's transaction holds a task of it still."""
    return _forget.bind(batch=batch, first=task_id(batch, 0), last=task_id(batch, total) - 1)

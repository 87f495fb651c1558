"""A batch at one moment, for who watches it. Not for: single tasks (``reading``), or why they failed (``listing``).

No row of a batch is counted: what it costs does not depend on the number of its tasks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from goque.model.states import Status
from goque.queries.tally import COUNTERS
from goque.sql import (
    BIGINT,
    BOOLEAN,
    Bind,
    Query,
    Statement,
    clock_timestamp,
    coalesce,
    count,
    epoch,
    lit,
    now,
    present,
    select,
    sum_,
    template,
    unnest,
)
from goque.sql.tables import BATCH, CLAIM, LANE, TALLY, TASK, WORKER


class GlanceRow(NamedTuple):
    """Counts by status, whether the batch is paused, its age in seconds, and how many workers and slots live."""

    counts: dict[Status, int]
    paused: bool
    age_s: float
    workers: int
    slots: int

    @classmethod
    def read(cls, row: tuple[Any, ...]) -> GlanceRow:
        """From a row of the statement."""
        paused, age, workers, slots, *numbers = row
        return cls(dict(zip(COUNTERS, numbers, strict=True)), paused, age, workers, slots)


@template(read=GlanceRow.read)
def _glance() -> Query[Any]:
    sums = [coalesce(sum_(column), lit(0)).as_(column.name) for column in COUNTERS.values()]
    tallied: Any = (
        select(*sums).from_(LANE).join(TALLY, TALLY.lane_id == LANE.id).where(LANE.batch_id == BATCH.id).sub("tallied")
    )
    alive: Any = (
        select(count().as_("n"), coalesce(sum_(WORKER.slots), lit(0)).cast(BIGINT).as_("slots"))
        .from_(WORKER)
        .where(WORKER.lost_at.is_null(), WORKER.ended_at.is_null(), ~WORKER.local | Bind("local", BOOLEAN))
        .sub("alive")
    )
    return (
        select(
            BATCH.paused,
            epoch(now() - BATCH.created_at).as_("age_s"),
            alive.n,
            alive.slots,
            *(getattr(tallied, column.name) for column in COUNTERS.values()),
        )
        .from_(BATCH)
        .cross_join_lateral(tallied)
        .cross_join_lateral(alive)
        .where(BATCH.id == Bind("batch", BIGINT))
    )


def glance(batch: int, *, local: bool) -> Statement[GlanceRow]:
    """A batch now. ``local`` counts workers of single processes too, which serve what those submitted."""
    return _glance.bind(batch=batch, local=local)


class RunningRow(NamedTuple):
    """A task that runs, for how many seconds, and what it last said of its progress."""

    id: int
    seconds: float
    progress: dict[str, Any] | None


@template(read=RunningRow._make)
def _running() -> Query[Any]:
    # By what workers hold, which is little: no index knows the tasks that run.
    member: Any = unnest("member", id=CLAIM.task_ids)
    held = select(member.id).from_(member).where(member.id >= Bind("first", BIGINT), member.id <= Bind("last", BIGINT))
    return (
        select(TASK.id, epoch(clock_timestamp() - present(TASK.started_at)).as_("seconds"), TASK.progress)
        .from_(CLAIM)
        .cross_join_lateral(held.sub("member"))
        .join(TASK, TASK.id == member.id)
        .where(TASK.seq < lit(0), TASK.status == lit(Status.PROCESSING), TASK.started_at.is_not_null())
        .order_by(TASK.started_at, TASK.id)
        .limit(Bind("most", BIGINT))
    )


def running(first: int, last: int, most: int) -> Statement[RunningRow]:
    """The tasks of a range of ids that have been running longest."""
    return _running.bind(first=first, last=last, most=most)

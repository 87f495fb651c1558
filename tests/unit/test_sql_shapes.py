"""The shapes of query that a queue is built of, as golden text (``golden/*.sql``).

Not for: whether PostgreSQL accepts them; ``tests/integration/test_sql_prepare.py`` prepares the same files.
To write the files anew after a wanted change: ``python tests/unit/test_sql_shapes.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from goque.sql import (
    BIGINT,
    BOOLEAN,
    BYTEA,
    DOUBLE,
    INTEGER,
    JSONB,
    SMALLINT,
    TEXT,
    TIMESTAMPTZ,
    Bind,
    Column,
    Query,
    Table,
    any_of,
    array,
    array_agg,
    avg,
    case,
    clock_timestamp,
    coalesce,
    columns_of,
    count,
    delete,
    enum_text,
    epoch,
    excluded,
    generate_series,
    greatest,
    insert,
    lateral,
    lit,
    max_,
    merge,
    nextval,
    not_exists,
    now,
    null,
    optional,
    percentile,
    pg_notify,
    recursive,
    row_number,
    seconds,
    select,
    subquery,
    sum_,
    unnest,
    update,
)
from goque.sql.statement import compiled

GOLDEN = Path(__file__).parent / "golden"


class Status(StrEnum):
    NEW = "new"
    PROCESSING = "processing"
    ERROR = "error"
    PENDING = "pending"
    DONE = "done"


class TaskTable(Table):
    id = Column(BIGINT)
    lane_id = Column(BIGINT)
    seq = Column(BIGINT, nullable=True)
    status = Column(enum_text(Status))
    type = Column(TEXT)
    run = Column(INTEGER)
    attempts = Column(SMALLINT)
    worker_id = Column(BIGINT, nullable=True)
    run_at = Column(TIMESTAMPTZ, nullable=True)
    claimed_at = Column(TIMESTAMPTZ, nullable=True)
    finished_at = Column(TIMESTAMPTZ, nullable=True)
    args = Column(BYTEA, nullable=True)
    result = Column(BYTEA, nullable=True)
    metadata = Column(JSONB, nullable=True)
    run_s = Column(DOUBLE, nullable=True)


class LaneTable(Table):
    id = Column(BIGINT)
    queue = Column(TEXT)
    priority = Column(INTEGER)
    paused = Column(BOOLEAN)


class BatchDeltaTable(Table):
    batch_id = Column(BIGINT)
    new = Column(BIGINT)
    done = Column(BIGINT)


class WorkerTable(Table):
    id = Column(BIGINT)
    host = Column(TEXT)
    missed = Column(INTEGER)
    tags = Column(array(TEXT))


TASK = TaskTable("task")
LANE = LaneTable("lane")
DELTA = BatchDeltaTable("batch_delta")
WORKER = WorkerTable("worker")

BLOCK = lit(1_000_000_000)
UNFINISHED = [lit(Status.NEW), lit(Status.PROCESSING), lit(Status.ERROR), lit(Status.PENDING)]


def claim() -> Query[Any]:
    v = unnest(
        "v", lane_id=Bind("lanes", array(BIGINT)), mark=Bind("marks", array(BIGINT)), want=Bind("wants", array(INTEGER))
    )
    ready = (
        select(TASK.id)
        .from_(TASK)
        .where(TASK.lane_id == v.lane_id, TASK.seq >= v.mark, TASK.seq > lit(0))
        .order_by(TASK.seq)
        .limit(v.want)
        .for_update(skip_locked=True)
        .sub("t")
    )
    picked = (
        select(ready[TASK.id])
        .from_(v)
        .join(LANE, (LANE.id == v.lane_id) & ~LANE.paused)
        .cross_join_lateral(ready)
        .cte("picked", materialized=True)
    )
    return (
        update(TASK)
        .set(TASK.run, TASK.run + lit(1))
        .set(TASK.seq, -TASK.seq)
        .set(TASK.worker_id, Bind("worker", BIGINT))
        .set(TASK.claimed_at, now())
        .from_(picked)
        .where(TASK.id == picked.id)
        .with_(picked)
        .returning(TASK.id, TASK.lane_id, TASK.run, TASK.args)
    )


def finish() -> Query[Any]:
    v = unnest(
        "v",
        id=Bind("ids", array(BIGINT)),
        run=Bind("runs", array(INTEGER)),
        result=Bind("results", array(BYTEA, nullable=True)),
        run_s=Bind("durations", array(DOUBLE)),
        started_at=Bind("starts", array(TIMESTAMPTZ)),
        metadata=Bind("metadata", array(JSONB, nullable=True)),
    )
    given = select(*columns_of(v)).from_(v).cte("v")
    held = (
        select(TASK.id, TASK.status)
        .from_(TASK)
        .where(
            TASK.id == given.id,
            TASK.run == given.run,
            TASK.worker_id == Bind("worker", BIGINT),
            TASK.status.in_(UNFINISHED),
        )
        .for_update(skip_locked=True)
        .sub("t")
    )
    locked = (
        select(*columns_of(given), held.status).from_(given).cross_join_lateral(held).cte("locked", materialized=True)
    )
    done = (
        update(TASK)
        .set(TASK.status, lit(Status.DONE))
        .set(TASK.seq, None)
        .set(TASK.worker_id, None)
        .set(TASK.attempts, TASK.attempts + lit(1))
        .set(TASK.result, locked.result)
        .set(TASK.run_s, locked.run_s)
        .set(TASK.metadata, merge(coalesce(TASK.metadata, {}), coalesce(locked.metadata, {})))
        .set(TASK.finished_at, now())
        .from_(locked)
        .where(TASK.id == locked.id)
        .returning(TASK.id, locked.status.as_("before"))
        .cte("done")
    )
    counts = (
        select(
            (done.id // BLOCK).as_("batch_id"),
            (-count().filter(done.before == lit(Status.NEW))).as_("new"),
            count().as_("done"),
        )
        .from_(done)
        .group_by(1)
    )
    counted = insert(DELTA).columns(DELTA.batch_id, DELTA.new, DELTA.done).select(counts).cte("counted")
    return select(done.id).from_(done).with_(given, locked, done, counted)


def loose_index_scan() -> Query[Any]:
    t = TASK.as_("t")
    first = select(TASK.lane_id).from_(TASK).where(TASK.seq > lit(0)).order_by(TASK.lane_id).limit(1)
    live = recursive(
        "live",
        first,
        lambda live: (
            select(
                subquery(
                    select(t.lane_id)
                    .from_(t)
                    .where(t.seq > lit(0), t.lane_id > live[TASK.lane_id])
                    .order_by(t.lane_id)
                    .limit(1)
                ).as_("lane_id")
            )
            .from_(live)
            .where(live.lane_id.is_not_null())
        ),
    )
    return (
        select(LANE.id, LANE.queue, LANE.priority)
        .from_(live)
        .join(LANE, LANE.id == live.lane_id)
        .where(LANE.queue == any_of(Bind("queues", array(TEXT))), ~LANE.paused)
        .order_by(LANE.priority.desc(), LANE.id)
        .with_(live)
    )


def fold() -> Query[Any]:
    oldest = select(DELTA.batch_id).from_(DELTA).limit(Bind("limit", INTEGER)).for_update(skip_locked=True)
    gone = delete(DELTA).where(DELTA.batch_id.in_(oldest)).returning(DELTA.batch_id, DELTA.new, DELTA.done).cte("gone")
    sums = (
        select(gone.batch_id, sum_(gone.new).as_("new"), sum_(gone.done).as_("done"))
        .from_(gone)
        .group_by(gone.batch_id)
    )
    return insert(DELTA).columns(DELTA.batch_id, DELTA.new, DELTA.done).select(sums).with_(gone)


def upsert() -> Query[Any]:
    new = excluded(WORKER)
    return (
        insert(WORKER)
        .columns(WORKER.id, WORKER.host, WORKER.missed, WORKER.tags)
        .values(Bind("id", BIGINT), Bind("host", TEXT), lit(0), Bind("tags", array(TEXT)))
        .on_conflict(WORKER.id)
        .do_update(
            WORKER.host.to(new.host),
            WORKER.missed.to(greatest(WORKER.missed - lit(1), lit(0))),
            where=(WORKER.host != new.host) | (WORKER.missed > lit(0)),
        )
        .returning(WORKER.id, WORKER.missed)
    )


def insert_once() -> Query[Any]:
    return (
        insert(TASK)
        .set(TASK.id, nextval("task_id"))
        .set(TASK.lane_id, Bind("lane", BIGINT))
        .set(TASK.seq, Bind("seq", BIGINT, nullable=True))
        .set(TASK.status, Status.NEW)
        .set(TASK.type, Bind("type", TEXT))
        .set(TASK.run, 0)
        .set(TASK.attempts, 0)
        .set(TASK.args, null(BYTEA))
        .on_conflict(TASK.lane_id, TASK.type, where=TASK.status.in_([lit(Status.NEW), lit(Status.DONE)]))
        .do_nothing()
        .returning(TASK.id)
    )


def history() -> Query[Any]:
    """With filters chosen by the caller, whose values bind themselves."""
    filters = [TASK.status.in_([Status.ERROR, Status.DONE]), TASK.type.like("etl.%"), TASK.run_s > 0.5]
    worker = WORKER.as_("w")
    ranked = row_number(partition_by=[TASK.type], order_by=[TASK.run_s.desc(nulls="last")])
    rows = (
        select(TASK.id, TASK.type, TASK.run_s, optional(worker.host), ranked.as_("rank"))
        .from_(TASK)
        .left_join(worker, worker.id == TASK.worker_id)
        .where(*filters, TASK.claimed_at >= clock_timestamp() - seconds(Bind("age", DOUBLE)))
        .sub("rows")
    )
    return (
        select(
            rows[TASK.type],
            count(),
            avg(rows.run_s).as_("mean_s"),
            percentile(0.95, rows.run_s).as_("p95_s"),
            max_(rows.run_s).as_("max_s"),
            array_agg(rows.id, order_by=[rows.id]).as_("ids"),
            case((count() > 10, lit(2)), (count() > 1, lit(1)), else_=lit(0)).as_("size"),
        )
        .from_(rows)
        .where(rows.rank <= 1000)
        .group_by(rows.type)
        .having(count(rows.host, distinct=True) > 1)
        .order_by(avg(rows.run_s).desc(nulls="last"), rows.type)
        .limit(Bind("limit", BIGINT))
        .offset(20)
    )


def idle_lanes() -> Query[Any]:
    return (
        select(LANE.id, (epoch(now()) / 60.0).as_("minutes"))
        .from_(LANE)
        .where(not_exists(select(TASK.id).from_(TASK).where(TASK.lane_id == LANE.id)))
        .distinct_on(LANE.queue)
        .order_by(LANE.queue, LANE.id)
    )


def locked_lanes() -> Query[Any]:
    busy = select(count().as_("n")).from_(TASK).where(TASK.lane_id == LANE.id).sub("busy")
    return (
        select(LANE.id, busy.n)
        .from_(LANE, lateral(busy))
        .where(busy.n == lit(0), ~LANE.paused)
        .for_update(skip_locked=True, of=LANE)
    )


def both() -> Query[Any]:
    held = select(TASK.id, lit(True).as_("held")).from_(TASK).where(TASK.seq < lit(0))
    free = select(TASK.id, lit(False).as_("held")).from_(TASK).where(TASK.seq > lit(0))
    return held.union_all(free).order_by("held", 1).limit(Bind("limit", BIGINT))


def missing_days() -> Query[Any]:
    n = generate_series("n", 1, Bind("days", INTEGER)).with_ordinality("position")
    return select(n.value, n.position).from_(n).where(~n.value.in_(select(TASK.run).from_(TASK)))


def notify() -> Query[Any]:
    return select(pg_notify(Bind("channel", TEXT), Bind("payload", TEXT)))


def forget() -> Query[Any]:
    return delete(TASK).using(LANE).where(LANE.id == TASK.lane_id, LANE.queue == Bind("queue", TEXT))


SHAPES: list[Callable[[], Query[Any]]] = [
    claim,
    finish,
    loose_index_scan,
    fold,
    upsert,
    insert_once,
    history,
    idle_lanes,
    locked_lanes,
    both,
    missing_days,
    notify,
    forget,
]


def rendered(build: Callable[[], Query[Any]]) -> str:
    """Text of a shape under a header with the types that are declared for it."""
    query = compiled(build())
    takes = ", ".join(f"{name} {sql_type.name}" for name, sql_type in query.parameters.items())
    gives = ", ".join(f"{name} {sql_type.name}" for name, sql_type, _ in query.columns)
    return f"-- takes {takes}\n-- gives {gives}\n{query.text}\n"


@pytest.mark.parametrize("build", SHAPES, ids=lambda build: build.__name__)
def test_the_text_of_a_shape_is_the_golden_one(build: Callable[[], Query[Any]]) -> None:
    assert rendered(build) == (GOLDEN / f"{build.__name__}.sql").read_text()


if __name__ == "__main__":
    for shape in SHAPES:
        (GOLDEN / f"{shape.__name__}.sql").write_text(rendered(shape))

"""How long queues keep finished work. Not for: removing it (``cleaning``, ``deleting``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from goque.model import retention
from goque.sql import (
    BOOLEAN,
    DOUBLE,
    TEXT,
    Bind,
    Query,
    Statement,
    case,
    coalesce,
    excluded,
    insert,
    least,
    lit,
    min_,
    scalar,
    select,
    template,
)
from goque.sql.tables import (
    BATCH,
    LANE,
    QUEUE,
)

DONE_S, FAILED_S, BATCHES_S = (
    lit(round(preset)).cast(DOUBLE) for preset in (retention.DONE_S, retention.FAILED_S, retention.BATCHES_S)
)


class Shortest(NamedTuple):
    """The shortest retentions that there are, in seconds: nothing younger can be past its own."""

    singles: float
    batches: float


@template(read=Shortest._make)
def _shortest() -> Query[Any]:
    lanes = select(min_(LANE.keep_s).as_("s")).from_(LANE).where(LANE.batch_id.is_null()).sub("lanes")
    batches = select(min_(BATCH.keep_s).as_("s")).from_(BATCH).sub("batches")
    queues = (
        select(
            min_(QUEUE.keep_done_s).as_("done"),
            min_(QUEUE.keep_failed_s).as_("failed"),
            min_(QUEUE.keep_batches_s).as_("batches"),
        )
        .from_(QUEUE)
        .sub("queues")
    )
    singles = least(coalesce(lanes.s, DONE_S), coalesce(queues.done, DONE_S), coalesce(queues.failed, FAILED_S))
    whole = least(coalesce(batches.s, BATCHES_S), coalesce(queues.batches, BATCHES_S))
    return (
        select(least(singles, DONE_S).as_("singles"), least(whole, BATCHES_S).as_("batches"))
        .from_(lanes)
        .cross_join(batches)
        .cross_join(queues)
    )


def shortest() -> Statement[Shortest]:
    """The shortest retentions in force."""
    return _shortest.bind()


@template(read=scalar)
def _keep() -> Query[Any]:
    new = excluded(QUEUE)
    columns = {
        "done": (QUEUE.keep_done_s, new.keep_done_s),
        "failed": (QUEUE.keep_failed_s, new.keep_failed_s),
        "batches": (QUEUE.keep_batches_s, new.keep_batches_s),
    }
    changed = [
        column.to(case((Bind(f"change_{name}", BOOLEAN), given), else_=column))
        for name, (column, given) in columns.items()
    ]
    return (
        insert(QUEUE)
        .columns(QUEUE.name, *(column for column, _ in columns.values()))
        .values(Bind("name", TEXT), *(Bind(name, DOUBLE, nullable=True) for name in columns))
        .on_conflict(QUEUE.name)
        .do_update(*changed)
        .returning(QUEUE.name)
    )


def keep(queue: str, seconds: Mapping[str, float | None]) -> Statement[str]:
    """Set how long a queue keeps what: of "done", "failed" and "batches" those that are given; None is the default."""
    values = {name: seconds.get(name) for name in ("done", "failed", "batches")}
    return _keep.bind(name=queue, **values, **{f"change_{name}": name in seconds for name in values})

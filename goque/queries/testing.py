"""What tests of users ask of their database: the next task in order, and another time. Not for: production."""

from __future__ import annotations

from typing import Any

from goque.model.eligibility import Eligibility
from goque.queries.claim import Listed, listed, open_lane, servable
from goque.queries.moments import ready_now
from goque.sql import (
    BIGINT,
    Bind,
    Query,
    Statement,
    case,
    columns_of,
    lit,
    scalar,
    seconds,
    select,
    statement_of,
    template,
    update,
)
from goque.sql import tables as declared
from goque.sql.columns import Table
from goque.sql.tables import LANE, TASK
from goque.sql.types import TIMESTAMPTZ

TABLES = tuple(table for table in vars(declared).values() if isinstance(table, Table))


@template(read=scalar)
def _ready_until() -> Query[Any]:
    return select(ready_now().as_("seq"))


def ready_until() -> Statement[int]:
    """The ``seq`` of a task that became ready just now."""
    return _ready_until.bind()


@template(read=Listed._make)
def _in_order() -> Query[Any]:
    first = (
        select(TASK.seq)
        .from_(TASK)
        .where(TASK.lane_id == LANE.id, TASK.seq > lit(0), TASK.seq <= Bind("until", BIGINT))
        .order_by(TASK.seq)
        .limit(1)
        .sub("first")
    )
    return (
        select(*listed())
        .from_(LANE)
        .cross_join_lateral(first)
        .where(open_lane(), servable())
        .order_by(LANE.priority.desc(), first.seq)
    )


def in_order(who: Eligibility, until: int) -> Statement[Listed]:
    """The lanes with tasks that were ready by ``until``, the one whose next task comes first before the others."""
    return _in_order.bind(**who.values(), until=until)


def moments_earlier(by: float) -> list[Statement[Any]]:
    """Every moment in every table ``by`` seconds earlier, which is what another clock would make of them."""
    statements = []
    for table in TABLES:
        moments = [column for column in columns_of(table) if column.sql_type is TIMESTAMPTZ]
        if moments:
            query = update(table)
            for column in moments:
                query = query.set(column, column - seconds(by))
            if table is TASK:
                # When it became ready is a moment too, and its sign is no part of it.
                ticks = lit(round(by * 1e6))
                query = query.set(TASK.seq, case((TASK.seq > lit(0), TASK.seq - ticks), else_=TASK.seq + ticks))
            statements.append(statement_of(query, name="testing.moments_earlier"))
    return statements

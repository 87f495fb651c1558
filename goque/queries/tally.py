"""Counting without counting rows: each statement that changes a status adds the difference. Not for: reading counts."""

from __future__ import annotations

from typing import Any

from goque.model.states import Status
from goque.sql.columns import ColumnRef, Derived
from goque.sql.expressions import Expression, lit
from goque.sql.functions import count
from goque.sql.query import Cte
from goque.sql.select import select
from goque.sql.tables import TALLY
from goque.sql.writes import insert

COUNTERS: dict[Status, ColumnRef[int]] = {
    Status.NEW: TALLY.new,
    Status.PENDING: TALLY.pending,
    Status.PROCESSING: TALLY.processing,
    Status.DONE: TALLY.done,
    Status.ERROR: TALLY.error,
    Status.ATTEMPTS_LEFT: TALLY.attempts_left,
    Status.CANCELED: TALLY.canceled,
}
"""The counter of each status."""


def counted(
    rows: Derived,
    *,
    before: Expression[Any] | None = None,
    after: Expression[Any] | None = None,
    lane: Expression[Any] | None = None,
    name: str = "counted",
) -> Cte:
    """Add what changed, one row per lane of ``rows``.

    ``before`` and ``after`` are the statuses of each row; None for rows that did not exist, or no longer do.
    """
    differences: list[Expression[int]] = []
    for status in COUNTERS:
        gained = count().filter(after == lit(status)) if after is not None else None
        lost = count().filter(before == lit(status)) if before is not None else None
        if gained is not None and lost is not None:
            difference: Expression[int] = gained - lost
        elif gained is not None:
            difference = gained
        else:
            assert lost is not None
            difference = -lost
        differences.append(difference.as_(f"n_{status}"))
    by = (rows.lane_id if lane is None else lane).as_("lane_id")
    changes = select(by, *differences).from_(rows).group_by(1)
    return insert(TALLY).columns(TALLY.lane_id, *COUNTERS.values()).select(changes).returning(TALLY.lane_id).cte(name)

"""In which batches there is what filters ask for, by the tally: what is rare is found without reading every task."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from goque.model.identity import FIRST_BATCH_TASK
from goque.queries.filters import Filters
from goque.queries.looking import Spans, lane_conditions, span_of
from goque.queries.tally import COUNTERS
from goque.sql import Query, coalesce, lit, select, statement_of, sum_
from goque.sql.statement import Statement
from goque.sql.tables import LANE, TALLY

MOST = 1_000
"""Ranges at most; in more places nothing is rare."""
_SINGLES = 0


def can_narrow(filters: Filters) -> bool:
    """Whether the tally knows anything of what is asked, and nothing better does."""
    asked = filters.status, filters.queue, filters.type, filters.owner
    return any(one is not None for one in asked) and filters.task is None and filters.external_id is None


def places(filters: Filters) -> Statement[tuple[int, int]]:
    """Batches with tasks in these statuses and lanes, 0 for single tasks, and how many there are in each."""
    wanted = [column for status, column in COUNTERS.items() if filters.status is None or status in filters.status]
    number = coalesce(sum_(reduce(add, wanted, lit(0))), lit(0))
    query: Query[Any] = (
        select(coalesce(LANE.batch_id, lit(_SINGLES)).as_("batch"), number.as_("n"))
        .from_(LANE)
        .join(TALLY, TALLY.lane_id == LANE.id)
        .where(*lane_conditions(filters))
        .group_by(1)
        .having(number > lit(0))
        .limit(MOST + 1)
    )
    return statement_of(query, name="places")


def spans_of(found: list[tuple[int, int]], limit: int) -> Spans | None:
    """The ranges of ids to look at; None where there is so much that looking from the newest on ends sooner."""
    if len(found) > MOST or sum(number for _, number in found) > 2 * limit:
        return None
    return [span_of(batch) if batch != _SINGLES else (0, FIRST_BATCH_TASK - 1) for batch, _ in sorted(found)]

"""The lanes of a batch or an owner, and what is in them. Not for: taking work from them (``claim``)."""

from __future__ import annotations

from typing import Any, NamedTuple

from goque.queries.looking import Spans, span, span_values
from goque.sql import (
    BIGINT,
    TEXT,
    Bind,
    Query,
    Statement,
    coalesce,
    lit,
    scalar,
    select,
    sum_,
    template,
)
from goque.sql.tables import FUNCTION, LANE, TALLY, TASK


@template(read=tuple)
def _batch_lanes() -> Query[Any]:
    return (
        select(LANE.id, LANE.canceled_at.is_not_null().as_("closed"))
        .from_(LANE)
        .where(LANE.batch_id == Bind("batch", BIGINT))
        .order_by(LANE.id)
    )


def batch_lanes(batch: int) -> Statement[tuple[int, bool]]:
    """The lanes of a batch, oldest first, and whether each was canceled."""
    return _batch_lanes.bind(batch=batch)


class LaneOptions(NamedTuple):
    """A lane, to make another one like it; ``policy`` is sealed."""

    id: int
    digest: str
    queue: str
    priority: int
    type: str
    function_id: int
    function_hash: str
    python: str | None
    tags: list[str]
    key_ids: list[str]
    policy: bytes | None
    max_attempts: int
    timeout_s: float | None
    keep_s: float | None
    cwd: str | None
    owner: str
    objects: list[str]


@template(read=LaneOptions._make)
def _lane_options() -> Query[Any]:
    return (
        select(
            LANE.id,
            LANE.digest,
            LANE.queue,
            LANE.priority,
            LANE.type,
            FUNCTION.id.as_("function"),
            FUNCTION.hash,
            LANE.python,
            LANE.tags,
            LANE.key_ids,
            LANE.policy,
            LANE.max_attempts,
            LANE.timeout_s,
            LANE.keep_s,
            LANE.cwd,
            LANE.owner,
            LANE.objects,
        )
        .from_(LANE)
        .join(FUNCTION, FUNCTION.id == LANE.function_id)
        .where(LANE.id == Bind("lane", BIGINT))
    )


def lane_options(lane: int) -> Statement[LaneOptions]:
    """A lane with all that a new one like it needs."""
    return _lane_options.bind(lane=lane)


@template(read=tuple)
def _code() -> Query[Any]:
    return (
        select(FUNCTION.hash, FUNCTION.code, FUNCTION.python)
        .from_(LANE)
        .join(FUNCTION, FUNCTION.id == LANE.function_id)
        .where(LANE.id == Bind("lane", BIGINT))
    )


def code(lane: int) -> Statement[tuple[str, bytes, str]]:
    """Hash, sealed code and Python version of what a lane runs."""
    return _code.bind(lane=lane)


@template(read=scalar)
def _unfinished_lanes() -> Query[Any]:
    left = coalesce(sum_(TALLY.new + TALLY.pending + TALLY.processing + TALLY.error), lit(0))
    return (
        select(LANE.id)
        .from_(LANE)
        .join(TALLY, TALLY.lane_id == LANE.id)
        .where(LANE.owner == Bind("owner", TEXT))
        .group_by(LANE.id)
        .having(left > lit(0))
    )


def unfinished_lanes(owner: str) -> Statement[int]:
    """The lanes of an owner in which something has not ended."""
    return _unfinished_lanes.bind(owner=owner)


@template(read=scalar)
def _lanes_within() -> Query[Any]:
    ranges = span()
    row = (
        select(TASK.lane_id).from_(TASK).where(TASK.id >= ranges.first, TASK.id <= ranges.last).limit(10_000).sub("row")
    )
    return select(row.lane_id).from_(ranges).cross_join_lateral(row).distinct()


def lanes_within(spans: Spans) -> Statement[int]:
    """The lanes of the tasks of some ranges of ids, 10,000 of each range at most."""
    return _lanes_within.bind(**span_values(spans))

"""The lanes of a batch or an owner, and what is in them. Not for: taking work from them (``claim``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.queries.looking import Spans, span, span_values
from goque.sql import (
    BIGINT,
    TEXT,
    Bind,
    Query,
    Statement,
    any_of,
    array,
    coalesce,
    lit,
    not_exists,
    now,
    scalar,
    seconds,
    select,
    sum_,
    template,
)
from goque.sql.expressions import Expression
from goque.sql.tables import FUNCTION, LANE, TALLY, TASK, WORKER

BEATEN_S = 15.0
"""Who has not been heard of for so long, a lease, may have gone with its machine, and nobody was there to say so."""


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


def _left() -> Expression[Any]:
    return coalesce(sum_(TALLY.new + TALLY.pending + TALLY.processing + TALLY.error), lit(0))


@template(read=scalar)
def _unfinished_lanes() -> Query[Any]:
    return (
        select(LANE.id)
        .from_(LANE)
        .join(TALLY, TALLY.lane_id == LANE.id)
        .where(LANE.owner == Bind("owner", TEXT))
        .group_by(LANE.id)
        .having(_left() > lit(0))
    )


def unfinished_lanes(owner: str) -> Statement[int]:
    """The lanes of an owner in which something has not ended."""
    return _unfinished_lanes.bind(owner=owner)


@template(read=scalar)
def _left_in() -> Query[Any]:
    return select(_left().as_("left_over")).from_(TALLY).where(TALLY.lane_id == any_of(Bind("lanes", array(BIGINT))))


def left_in(lanes: Sequence[int]) -> Statement[int]:
    """How many tasks of these lanes have not ended."""
    return _left_in.bind(lanes=list(lanes))


@template(read=scalar)
def _left_alone() -> Query[Any]:
    alive = (
        select(WORKER.id)
        .from_(WORKER)
        .where(WORKER.ended_at.is_null(), WORKER.lost_at.is_null(), WORKER.beat_at > now() - seconds(BEATEN_S))
    )
    return (
        select(_left().as_("left_over"))
        .from_(LANE)
        .join(TALLY, TALLY.lane_id == LANE.id)
        .where(LANE.owner == Bind("owner", TEXT), not_exists(alive))
    )


def left_alone(owner: str) -> Statement[int]:
    """How many tasks of an owner have not ended; none where a worker lives that may be at them."""
    return _left_alone.bind(owner=owner)


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

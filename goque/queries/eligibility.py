"""Who could run what: living workers and the needs of a lane. Not for: frames for analysis (``looking``)."""

from __future__ import annotations

from typing import Any, NamedTuple

from goque.model.eligibility import EVERY_QUEUE
from goque.queries.claim import MOST_LANES, lanes_with_ready_tasks
from goque.sql import BIGINT, TEXT, Bind, Query, Statement, case, exists, null, scalar, select, template
from goque.sql.expressions import Expression
from goque.sql.tables import LANE, QUEUE, WORKER


class LivingWorker(NamedTuple):
    """A worker that neither ended nor was lost."""

    id: int
    python: str
    queues: list[str] | None
    tags: list[str]
    key_ids: list[str]
    types: list[str]
    local: bool


@template(read=LivingWorker._make)
def _living() -> Query[Any]:
    return (
        select(WORKER.id, WORKER.python, WORKER.queues, WORKER.tags, WORKER.key_ids, WORKER.types, WORKER.local)
        .from_(WORKER)
        .where(WORKER.lost_at.is_null(), WORKER.ended_at.is_null())
    )


def living() -> Statement[LivingWorker]:
    """Workers that neither ended nor were lost."""
    return _living.bind()


class LaneNeeds(NamedTuple):
    """What a worker must have to serve a lane."""

    queue: str
    python: str | None
    tags: list[str]
    key_ids: list[str]
    type: str | None
    """A named type, whose code the worker must have."""


def _needs() -> list[Expression[Any]]:
    named = case((LANE.function_id.is_null(), LANE.type), else_=null(TEXT)).as_("named_type")
    return [LANE.queue, LANE.python, LANE.tags, LANE.key_ids, named]


@template(read=LaneNeeds._make)
def _lane() -> Query[Any]:
    return select(*_needs()).from_(LANE).where(LANE.id == Bind("lane", BIGINT))


def lane(id: int) -> Statement[LaneNeeds]:
    """What a worker must have to serve a lane."""
    return _lane.bind(lane=id)


class ReadyLane(NamedTuple):
    """A lane that has ready tasks; ``paused`` is of its batch, not of its queue."""

    type: str
    batch_id: int | None
    paused: bool
    needs: LaneNeeds

    @classmethod
    def read(cls, row: tuple[Any, ...]) -> ReadyLane:
        """From a row of the statement."""
        return cls(row[0], row[1], row[2], LaneNeeds(*row[3:]))


@template(read=ReadyLane.read)
def _ready_lanes() -> Query[Any]:
    found = lanes_with_ready_tasks()
    return (
        select(LANE.type, LANE.batch_id, LANE.paused, *_needs())
        .with_(found)
        .from_(found)
        .join(LANE, LANE.id == found.lane_id)
        .where(LANE.canceled_at.is_null())
        .limit(MOST_LANES)
    )


def ready_lanes() -> Statement[ReadyLane]:
    """The lanes that have ready tasks, and what they ask of a worker."""
    return _ready_lanes.bind()


@template(read=scalar)
def _paused() -> Query[Any]:
    queue = select(QUEUE.name).from_(QUEUE)
    named = queue.where(QUEUE.name == LANE.queue, QUEUE.paused)
    every = queue.where(QUEUE.name == Bind("every", TEXT), QUEUE.paused)
    return (
        select((LANE.paused | exists(named) | exists(every)).as_("paused"))
        .from_(LANE)
        .where(LANE.id == Bind("lane", BIGINT))
    )


def paused(lane: int) -> Statement[bool]:
    """Whether a lane, its queue or every queue is paused."""
    return _paused.bind(lane=lane, every=EVERY_QUEUE)

"""Finding and taking work. Not for: giving it back or ending it (``handback``, ``finish``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from goque.model.eligibility import Eligibility
from goque.model.states import Status
from goque.queries.tally import counted
from goque.sql.columns import unnest
from goque.sql.expressions import Bind, Condition, Expression, lit, null
from goque.sql.functions import (
    any_of,
    array_agg,
    case,
    coalesce,
    count,
    function,
    not_exists,
    now,
    number_of,
    optional,
    present,
    seconds,
    subquery,
    sum_,
)
from goque.sql.query import Cte, Query, recursive
from goque.sql.select import select
from goque.sql.statement import Statement, scalar, template
from goque.sql.tables import CLAIM, LANE, QUEUE, TALLY, TASK
from goque.sql.types import BIGINT, BOOLEAN, BYTEA, DOUBLE, INTEGER, TEXT, array
from goque.sql.writes import insert, update

INLINE = 16_384
"""Bytes of arguments that come with the claim; larger ones are read when the task is about to start."""
MOST_LANES = 5_000
FEW = 64
"""So many tasks of a lane may be taken out of turn: see ``take_turns``."""


class _Json(StrEnum):
    NULL = "null"
    ENCODING = "UTF8"


class Listed(NamedTuple):
    """A lane with ready work."""

    lane: int
    queue: str
    priority: int
    timeout_s: float | None = None
    type: str | None = None
    """The named type of its tasks; None for functions that were sent."""
    function: int | None = None


class Claimed(NamedTuple):
    """A task that this worker now holds. ``args`` is None where it is still to be read."""

    id: int
    lane: int
    run: int
    attempts: int
    max_attempts: int
    losses: int
    seq: int
    metadata: Any
    checkpoint: bytes | None
    expired: bool
    args: bytes | None
    slot: datetime | None
    traceparent: str | None = None


def open_lane() -> Condition:
    """The lane is neither paused nor canceled, nor is its queue."""
    paused = select(QUEUE.name).from_(QUEUE)
    return (
        ~LANE.paused
        & LANE.canceled_at.is_null()
        & not_exists(paused.where(QUEUE.name == LANE.queue, QUEUE.paused))
        & not_exists(paused.where(QUEUE.name == Bind("every", TEXT), QUEUE.paused))
    )


def servable() -> Condition:
    """This worker can run what the lane holds."""
    queues = Bind("queues", array(TEXT), nullable=True)
    lanes = Bind("lanes", array(BIGINT), nullable=True)
    keys = Bind("key_ids", array(TEXT))
    # Who holds keys would refuse unsigned code, and that ends a task: it is left to workers that hold none.
    signed = function("cardinality", INTEGER, LANE.key_ids) > lit(0)
    keyless = function("cardinality", INTEGER, keys) == lit(0)
    return (
        (queues.is_null() | (LANE.queue == any_of(present(queues))))
        & (LANE.python.is_null() | (LANE.python == Bind("python", TEXT)))
        & function("arraycontained", BOOLEAN, LANE.key_ids, keys)
        & function("arraycontained", BOOLEAN, LANE.tags, Bind("tags", array(TEXT)))
        & case(
            (LANE.function_id.is_null(), LANE.type == any_of(Bind("types", array(TEXT)))),
            else_=Bind("callables", BOOLEAN)
            & (signed | keyless)
            & (lanes.is_null() | (LANE.id == any_of(present(lanes)))),
        )
    )


def _body(task: Any) -> Expression[bytes]:
    """What a task is called with: sealed arguments, or the JSON payload of a named type."""
    payload = coalesce(task.payload.cast(TEXT), lit(_Json.NULL))
    return coalesce(task.args, function("convert_to", BYTEA, payload, lit(_Json.ENCODING)))


def lanes_with_ready_tasks(begin: tuple[Expression[int], Expression[int]] | None = None) -> Cte:
    """Each lane in the ready index once, found by skipping from one to the next: its cost is per lane, not per task.

    ``begin`` is a lane and a ``seq`` in it. Until a vacuum has been there the search passes by what was drained and is
    still in the index, so where it begins is what it costs.
    """
    ready = select(TASK.lane_id).from_(TASK).where(TASK.seq > lit(0))

    def after(lane: Expression[int]) -> Query[Any]:
        return ready.where(TASK.lane_id > lane).order_by(TASK.lane_id).limit(1)

    def step(found: Cte) -> Query[Any]:
        return select(subquery(after(found.lane_id)).as_("lane_id")).from_(found).where(found.lane_id.is_not_null())

    first = subquery(ready.order_by(TASK.lane_id).limit(1))
    if begin is not None:
        lane, seq = begin
        same = ready.where(TASK.lane_id == lane, TASK.seq >= seq).order_by(TASK.seq).limit(1)
        first = optional(coalesce(subquery(same), subquery(after(lane))))
    return recursive("found", select(first.as_("lane_id")), step)


def listed() -> list[Expression[Any]]:
    """The columns of ``Listed``."""
    named = case((LANE.function_id.is_null(), LANE.type), else_=null(TEXT)).as_("type")
    return [LANE.id, LANE.queue, LANE.priority, LANE.timeout_s, named, LANE.function_id]


@template(read=Listed._make)
def _live_lanes() -> Query[Any]:
    found = lanes_with_ready_tasks((Bind("lowest", BIGINT), Bind("mark", BIGINT)))
    # Each by its key, also by a plan from when there were hardly any.
    lane = select(*listed()).from_(LANE).where(LANE.id == found.lane_id, open_lane(), servable()).limit(1).sub("lane")
    return select(*lane._columns()).with_(found).from_(found).cross_join_lateral(lane).limit(MOST_LANES)


def live_lanes(who: Eligibility, lowest: int = 0, mark: int = 0) -> Statement[Listed]:
    """The lanes, from this id and of it from this ``seq`` on, that have ready tasks which this worker may take now."""
    return _live_lanes.bind(lowest=lowest, mark=mark, **who.values())


@template(read=scalar)
def _take_turns() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("lanes", array(BIGINT)))
    return select(wanted.id).from_(wanted).where(_turn(wanted.id))


def take_turns(worker: int, lanes: Sequence[int]) -> Statement[int]:
    """Those of these lanes in which it is this worker's turn to take many tasks; it ends with the transaction.

    Who takes the tasks that others are just taking passes over each of them, and locks those whose claim ends
    meanwhile: a crowd of workers at the head of one lane would do little else. Two at a time do not hinder each other
    much, so workers with even and with odd numbers take turns among themselves. Nobody waits for a turn.
    """
    return _take_turns.bind(worker=worker, lanes=sorted(lanes))


def _turn(lane: Expression[int]) -> Condition:
    """It is this transaction's turn, until it ends. Half a lock's number is little for a lane: two may share one."""
    place = lane * lit(2) + function("mod", BIGINT, Bind("worker", BIGINT), lit(2))
    short = function("mod", BIGINT, place, lit(2**31)).cast(INTEGER)
    return function("pg_try_advisory_xact_lock", BOOLEAN, number_of(LANE).cast(INTEGER), short)


@template(read=Claimed._make)
def _claim() -> Query[Any]:
    wanted = unnest(
        "wanted",
        lane_id=Bind("lanes", array(BIGINT)),
        mark=Bind("marks", array(BIGINT)),
        want=Bind("wants", array(BIGINT)),
    )
    in_turn = (wanted.want <= lit(FEW)) | _turn(wanted.lane_id)
    ready = (
        select(TASK.id)
        .from_(TASK)
        .where(TASK.lane_id == wanted.lane_id, TASK.seq >= wanted.mark, TASK.seq > lit(0))
        .order_by(TASK.seq)
        .limit(wanted.want)
        .for_update(skip_locked=True)
        .sub("ready")
    )
    # Fenced from the planner: inlined into the update it may lock more rows than it takes.
    picked = (
        select(ready.id)
        .from_(wanted)
        .join(LANE, LANE.id == wanted.lane_id)
        .cross_join_lateral(ready)
        .where(open_lane(), in_turn)
        .cte("picked", materialized=True)
    )
    body = _body(TASK)
    inline = (function("octet_length", INTEGER, body) <= lit(INLINE)) & (TASK.losses == lit(0))
    taken = (
        update(TASK)
        .set(TASK.run, TASK.run + lit(1))
        .set(TASK.seq, -TASK.seq)
        .set(TASK.worker_id, Bind("worker", BIGINT))
        .from_(picked)
        .where(TASK.id == picked.id)
        .returning(
            TASK.id,
            TASK.lane_id,
            TASK.run,
            TASK.attempts,
            TASK.max_attempts,
            TASK.losses,
            (-TASK.seq).as_("seq"),
            TASK.metadata,
            TASK.checkpoint,
            coalesce(TASK.expires_at < now(), lit(False)).as_("expired"),
            case((inline, body), else_=null(BYTEA)).as_("args"),
            TASK.slot,
            TASK.traceparent,
        )
        .cte("taken")
    )
    # One row per claim instead of an index over held tasks: it is how the healer finds them.
    noted = (
        insert(CLAIM)
        .columns(CLAIM.worker_id, CLAIM.number, CLAIM.task_ids)
        .select(
            select(
                Bind("worker", BIGINT).as_("worker_id"),
                Bind("number", BIGINT).as_("number"),
                present(array_agg(taken.id)).as_("task_ids"),
            )
            .from_(taken)
            .having(count() > lit(0))
        )
        .returning(CLAIM.number)
        .cte("noted")
    )
    return (
        select(
            taken.id,
            taken.lane_id,
            taken.run,
            taken.attempts,
            taken.max_attempts,
            taken.losses,
            taken.seq,
            taken.metadata,
            taken.checkpoint,
            taken.expired,
            taken.args,
            taken.slot,
            taken.traceparent,
        )
        .with_(picked, taken, noted)
        .from_(taken)
    )


def claim(worker: int, number: int, asks: Sequence[tuple[int, int, int]], every: str) -> Statement[Claimed]:
    """Take ready tasks: of each lane up to ``want``, in order, from ``mark`` on. Noted as claim ``number``.

    More than ``FEW`` of a lane only in turn: see ``take_turns``.
    """
    return _claim.bind(
        worker=worker,
        number=number,
        lanes=[lane for lane, _, _ in asks],
        marks=[mark for _, mark, _ in asks],
        wants=[want for _, _, want in asks],
        every=every,
    )


@template(read=tuple)
def _start() -> Query[Any]:
    starting = unnest(
        "starting",
        id=Bind("ids", array(BIGINT)),
        run=Bind("runs", array(BIGINT)),
        ago=Bind("agos", array(DOUBLE)),
    )
    mine = (
        select(TASK.id, TASK.status, TASK.lane_id)
        .from_(TASK)
        .where(
            TASK.id == starting.id,
            TASK.run == starting.run,
            TASK.worker_id == Bind("worker", BIGINT),
            TASK.status.in_([lit(Status.NEW), lit(Status.ERROR)]),
        )
        .for_update(skip_locked=True)
        .sub("mine")
    )
    locked = (
        select(mine.id, mine.lane_id, mine.status.as_("before"), starting.ago)
        .from_(starting)
        .cross_join_lateral(mine)
        .cte("locked", materialized=True)
    )
    started = (
        update(TASK)
        .set(TASK.status, lit(Status.PROCESSING))
        .set(TASK.started_at, now() - seconds(locked.ago))
        .from_(locked)
        .where(TASK.id == locked.id)
        .returning(TASK.id, _body(TASK).as_("args"), TASK.losses, locked.lane_id, locked.before, TASK.status)
        .cte("started")
    )
    counts = counted(started, before=started.before, after=started.status)
    # Arguments come back only where the claim kept them back: a suspect must be marked before it is read.
    return (
        select(started.id, case((started.losses > lit(0), started.args), else_=null(BYTEA)).as_("args"))
        .with_(locked, started, counts)
        .from_(started)
    )


def start(worker: int, tasks: Sequence[tuple[int, int, float]]) -> Statement[tuple[int, bytes | None]]:
    """Mark as running: ``(id, run, seconds since it began)``. Gives back those that are still this worker's."""
    ordered = sorted(tasks)
    return _start.bind(
        worker=worker,
        ids=[task for task, _, _ in ordered],
        runs=[run for _, run, _ in ordered],
        agos=[ago for _, _, ago in ordered],
    )


@template(read=tuple)
def _arguments() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)))
    return select(TASK.id, _body(TASK).as_("args")).from_(wanted).join(TASK, TASK.id == wanted.id)


def arguments(ids: Sequence[int]) -> Statement[tuple[int, bytes]]:
    """The sealed arguments of these tasks."""
    return _arguments.bind(ids=list(ids))


@template(read=tuple)
def _watch_held() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("ids", array(BIGINT)), lane_id=Bind("lanes", array(BIGINT)))
    paused = ~open_lane()
    return (
        select(wanted.id, (TASK.status == lit(Status.CANCELED)).as_("canceled"), paused.as_("paused"))
        .from_(wanted)
        .join(TASK, TASK.id == wanted.id)
        .join(LANE, LANE.id == wanted.lane_id)
        .where((TASK.status == lit(Status.CANCELED)) | paused)
    )


def watch_held(tasks: Sequence[tuple[int, int]], every: str) -> Statement[tuple[int, bool, bool]]:
    """Which of these ``(id, lane)`` have been canceled, or stand in a lane that was paused or canceled."""
    return _watch_held.bind(ids=[task for task, _ in tasks], lanes=[lane for _, lane in tasks], every=every)


@template(read=scalar)
def _unfinished() -> Query[Any]:
    live = select(LANE.id).from_(LANE).where(open_lane(), servable()).cte("live")
    return (
        select(TALLY.lane_id)
        .with_(live)
        .from_(TALLY)
        .join(live, live.id == TALLY.lane_id)
        .group_by(TALLY.lane_id)
        .having(sum_(TALLY.new + TALLY.processing + TALLY.error) > lit(0))
    )


def unfinished(who: Eligibility) -> Statement[int]:
    """The lanes with tasks that this worker may take: ready or held, running, or waiting to be retried."""
    return _unfinished.bind(**who.values())

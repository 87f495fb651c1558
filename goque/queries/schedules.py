"""Schedules that are due, moved on by the statement that makes their tasks. Not for: declaring them (``deployments``).

Which moments are slots, ``model.schedules`` knows; what time it is, these statements do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from goque.model.manifest import TaskType
from goque.model.schedules import Schedule
from goque.queries.programs import NewLane
from goque.queries.programs import lane as lane_statement
from goque.queries.tally import counted
from goque.sql import (
    BIGINT,
    BOOLEAN,
    INTEGER,
    JSONB,
    TEXT,
    TIMESTAMPTZ,
    Bind,
    Query,
    Statement,
    any_of,
    array,
    case,
    coalesce,
    epoch,
    function,
    insert,
    lit,
    min_,
    now,
    optional,
    scalar,
    select,
    template,
    unnest,
    update,
)
from goque.sql.tables import LANE, SCHEDULE, TASK

STEP = 100
"""Schedules that are looked at in one step."""


# Making tasks


@template(read=scalar)
def _next_due() -> Query[Any]:
    first = min_(SCHEDULE.next_at)
    return select(epoch(first - now()).as_("seconds")).from_(SCHEDULE).where(SCHEDULE.retired_at.is_null())


def next_due() -> Statement[float | None]:
    """Seconds until the next slot, negative when it has come; None when there are no schedules."""
    return _next_due.bind()


class Due(NamedTuple):
    """A schedule at least one slot of which has come, and the database's time when that was found."""

    name: str
    type: str
    cron: str | None
    every_s: float | None
    tz: str
    catch_up: str
    next_at: datetime
    paused: bool
    resumed_at: datetime | None
    revision: int
    now: datetime

    @property
    def schedule(self) -> Schedule:
        """What decides which slots it has."""
        return Schedule(self.name, self.type, self.cron, self.every_s, self.tz, self.catch_up)


@template(read=Due._make)
def _due() -> Query[Any]:
    return (
        select(
            SCHEDULE.name,
            SCHEDULE.type,
            SCHEDULE.cron,
            SCHEDULE.every_s,
            SCHEDULE.tz,
            SCHEDULE.catch_up,
            SCHEDULE.next_at,
            SCHEDULE.paused,
            SCHEDULE.resumed_at,
            SCHEDULE.revision,
            now().as_("now"),
        )
        .from_(SCHEDULE)
        .where(SCHEDULE.next_at <= now(), SCHEDULE.retired_at.is_null())
        .limit(Bind("limit", INTEGER))
    )


def due(limit: int = STEP) -> Statement[Due]:
    """Schedules whose next slot has come, the paused ones too."""
    return _due.bind(limit=limit)


class Step(NamedTuple):
    """What to do with a due schedule: make a task in this lane for each slot, and wait for the next one."""

    name: str
    type: str
    revision: int
    slots: Sequence[datetime]
    next_at: datetime
    lane: int | None = None
    """None where there are no slots."""


@template(read=scalar)
def _fire() -> Query[Any]:
    step = unnest(
        "step",
        name=Bind("names", array(TEXT)),
        revision=Bind("revisions", array(BIGINT)),
        last_at=Bind("last_ats", array(TIMESTAMPTZ, nullable=True)),
        next_at=Bind("next_ats", array(TIMESTAMPTZ)),
    )
    # Who comes second finds another revision, and makes nothing.
    locked = (
        select(SCHEDULE.name, SCHEDULE.payload, step.last_at, step.next_at)
        .from_(step)
        .join(SCHEDULE, (SCHEDULE.name == step.name) & (SCHEDULE.revision == step.revision))
        .for_update(skip_locked=True, of=SCHEDULE)
        .cte("locked", materialized=True)
    )
    moved = (
        update(SCHEDULE)
        .set(SCHEDULE.next_at, locked.next_at)
        .set(SCHEDULE.last_at, coalesce(locked.last_at, SCHEDULE.last_at))
        .set(SCHEDULE.revision, SCHEDULE.revision + lit(1))
        .from_(locked)
        .where(SCHEDULE.name == locked.name)
        .returning(SCHEDULE.name)
        .cte("moved")
    )
    slot = unnest(
        "slot",
        name=Bind("slot_names", array(TEXT)),
        lane_id=Bind("lanes", array(BIGINT)),
        at=Bind("slots", array(TIMESTAMPTZ)),
    ).with_ordinality("place")
    # Not ready_now(), which is of each row its own: tasks of several slots run in the order of those.
    ready = (epoch(now()) * lit(1_000_000)).cast(BIGINT) + slot.place
    stored = (
        insert(TASK)
        .columns(TASK.lane_id, TASK.seq, TASK.max_attempts, TASK.payload, TASK.metadata, TASK.slot)
        .select(
            select(
                slot.lane_id,
                ready.as_("seq"),
                LANE.max_attempts,
                locked.payload,
                function("jsonb_build_object", JSONB, Bind("key", TEXT), locked.name).as_("metadata"),
                slot.at,
            )
            .from_(slot)
            .join(locked, locked.name == slot.name)
            .join(LANE, LANE.id == slot.lane_id)
        )
        .returning(TASK.lane_id, TASK.status)
        .cte("stored")
    )
    counts = counted(stored, after=stored.status)
    return select(moved.name).with_(locked, moved, stored, counts).from_(moved)


def fire(steps: Sequence[Step]) -> Statement[str]:
    """Make the tasks of these steps and move their schedules on. Gives those that nobody else had moved on before."""
    return _fire.bind(
        names=[step.name for step in steps],
        revisions=[step.revision for step in steps],
        last_ats=[step.slots[-1] if step.slots else None for step in steps],
        next_ats=[step.next_at for step in steps],
        slot_names=[step.name for step in steps for _ in step.slots],
        lanes=[step.lane for step in steps for _ in step.slots],
        slots=[slot for step in steps for slot in step.slots],
        key="schedule",
    )


def lane(type: TaskType) -> Statement[int]:
    """The lane of the tasks that schedules make of a type, made if it is not there."""
    options: dict[str, Any] = {"queue": type.queue, "priority": type.priority, "tags": list(type.tags)}
    options |= {"max_attempts": type.max_attempts, "timeout_s": type.timeout_s, "keep_s": type.keep_s}
    digest = hashlib.sha256(json.dumps(["schedule", type.name, *options.values()]).encode()).hexdigest()
    return lane_statement(
        NewLane(
            digest=digest,
            batch_id=None,
            type=type.name,
            function_id=None,
            python=None,
            key_ids=(),
            seal=None,
            policy=None,
            cwd=None,
            owner="schedule",
            **options,
        )
    )


# Pausing


@template(read=scalar)
def _names() -> Query[Any]:
    return select(SCHEDULE.name).from_(SCHEDULE).where(SCHEDULE.retired_at.is_null())


def names() -> Statement[str]:
    """All schedules that are declared."""
    return _names.bind()


@template(read=scalar)
def _set_paused() -> Query[Any]:
    paused = Bind("paused", BOOLEAN)
    return (
        update(SCHEDULE)
        .set(SCHEDULE.paused, paused)
        .set(SCHEDULE.resumed_at, case((paused, SCHEDULE.resumed_at), else_=optional(now())))
        .set(SCHEDULE.revision, SCHEDULE.revision + lit(1))
        .where(SCHEDULE.name == any_of(Bind("names", array(TEXT))), SCHEDULE.paused != paused)
        .returning(SCHEDULE.name)
    )


def set_paused(names: Sequence[str], paused: bool) -> Statement[str]:
    """Make no tasks of these schedules, or make them again. Gives those for which that is new."""
    return _set_paused.bind(names=list(names), paused=paused)

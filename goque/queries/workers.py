"""Who works here: registering, heartbeats, finding out who is gone. Not for: freeing what they held (``upkeep``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.model.states import UNFINISHED, Status
from goque.sql import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    SMALLINT,
    TEXT,
    Bind,
    Condition,
    Query,
    Statement,
    array,
    case,
    epoch,
    exists,
    function,
    insert,
    lit,
    now,
    null,
    number_of,
    scalar,
    select,
    template,
    unnest,
    update,
)
from goque.sql.catalog import NAME, PG_ACTIVITY, PG_LOCKS
from goque.sql.tables import CLAIM, MAINTENANCE, TASK, WORKER
from goque.sql.types import TIMESTAMPTZ

BEAT_S = 3.0
"""Seconds between heartbeats, and the least time between two looks."""
PUNCTUAL = 0.97
"""A look may come this much early, so that a heartbeat's own delay does not make it skip a turn."""
LOOKS = 5
"""Who was missing at this many looks in a row is lost: a lease of about 15 seconds."""


def _alive() -> Condition:
    return WORKER.lost_at.is_null() & WORKER.ended_at.is_null()


@template(read=scalar)
def _register() -> Query[Any]:
    return (
        insert(WORKER)
        .set(WORKER.host, Bind("host", TEXT))
        .set(WORKER.pid, Bind("pid", INTEGER))
        .set(WORKER.python, Bind("python", TEXT))
        .set(WORKER.prefix, Bind("prefix", TEXT))
        .set(WORKER.version, Bind("version", TEXT))
        .set(WORKER.owner, Bind("owner", TEXT))
        .set(WORKER.pool, Bind("pool", TEXT))
        .set(WORKER.slots, Bind("slots", INTEGER))
        .set(WORKER.queues, Bind("queues", array(TEXT), nullable=True))
        .set(WORKER.tags, Bind("tags", array(TEXT)))
        .set(WORKER.key_ids, Bind("key_ids", array(TEXT)))
        .set(WORKER.types, Bind("types", array(TEXT)))
        .set(WORKER.local, Bind("local", BOOLEAN))
        .returning(WORKER.id)
    )


def register(
    *,
    host: str,
    pid: int,
    python: str,
    prefix: str,
    version: str,
    owner: str,
    pool: str,
    slots: int,
    queues: Sequence[str] | None,
    tags: Sequence[str],
    key_ids: Sequence[str],
    types: Sequence[str] = (),
    local: bool,
) -> Statement[int]:
    """A new worker; gives its id."""
    return _register.bind(
        host=host,
        pid=pid,
        python=python,
        prefix=prefix,
        version=version,
        owner=owner,
        pool=pool,
        slots=slots,
        queues=None if queues is None else list(queues),
        tags=list(tags),
        key_ids=list(key_ids),
        types=list(types),
        local=local,
    )


@template(read=scalar)
def _beat() -> Query[Any]:
    me = WORKER.id == Bind("worker", BIGINT)
    beaten = (
        update(WORKER)
        .set(WORKER.missed, lit(0))
        .set(WORKER.beat_at, now())
        .set(WORKER.running, Bind("running", INTEGER))
        .set(WORKER.buffered, Bind("buffered", INTEGER))
        .where(me, _alive())
        .returning(WORKER.id)
        .cte("beaten")
    )
    # The absolute difference, so that a clock that was set back does not stop the looks.
    due = function("abs", DOUBLE, epoch(now() - MAINTENANCE.last_at)) >= Bind("interval", DOUBLE)
    name = MAINTENANCE.name == Bind("name", TEXT)
    turn = (
        select(MAINTENANCE.name)
        .from_(MAINTENANCE)
        .where(name, due, exists(select(beaten.id).from_(beaten)))
        .for_update(skip_locked=True)
        .cte("turn")
    )
    took = (
        update(MAINTENANCE)
        .set(MAINTENANCE.last_at, now())
        .from_(turn)
        .where(MAINTENANCE.name == turn.name)
        .returning(MAINTENANCE.name)
        .cte("took")
    )
    others = (
        select(WORKER.id)
        .from_(WORKER)
        .where(_alive(), WORKER.id != Bind("worker", BIGINT), exists(select(took.name).from_(took)))
        .for_update(skip_locked=True)
        .cte("others", materialized=True)
    )
    missed = WORKER.missed + lit(1)
    counted = (
        update(WORKER)
        .set(WORKER.missed, missed.cast(SMALLINT))
        .set(WORKER.lost_at, case((missed >= lit(LOOKS), now()), else_=null(TIMESTAMPTZ)))
        .from_(others)
        .where(WORKER.id == others.id)
        .returning(WORKER.id, WORKER.lost_at)
        .cte("counted")
    )
    lost = select(counted.id).from_(counted).where(counted.lost_at.is_not_null())
    return select(beaten.id).from_(beaten).union_all(lost).with_(beaten, turn, took, others, counted)


def beat(worker: int, *, running: int, buffered: int) -> Statement[int]:
    """This worker is well, and counts everybody else as missing once more, if it is time.

    Gives the worker itself, unless it was declared lost, and those that are lost by this look. It is one statement, so
    that only who is well may judge, and nobody who is stopped in the middle of it holds up the hearts of all.
    """
    return _beat.bind(worker=worker, running=running, buffered=buffered, interval=BEAT_S * PUNCTUAL, name="heal")


@template(read=scalar)
def _mark() -> Query[Any]:
    locked = function(
        "pg_try_advisory_xact_lock_shared", BOOLEAN, number_of(WORKER).cast(INTEGER), Bind("worker", INTEGER)
    )
    return select(locked.as_("marked"))


def mark(worker: int) -> Statement[bool]:
    """The transaction is this worker's, for all to see: a lock that is shared, so that nobody ever waits for it."""
    return _mark.bind(worker=worker)


@template(read=scalar)
def _hang_up() -> Query[Any]:
    here = function("current_database", NAME)
    role = function("getpgusername", NAME)
    return (
        select(function("pg_terminate_backend", BOOLEAN, PG_LOCKS.pid).as_("ended"))
        .from_(PG_LOCKS)
        .join(WORKER, WORKER.id == PG_LOCKS.objid.cast(BIGINT))
        .join(PG_ACTIVITY, PG_ACTIVITY.pid == PG_LOCKS.pid)
        .where(
            PG_LOCKS.locktype == Bind("kind", TEXT),
            PG_LOCKS.classid == number_of(WORKER),
            PG_ACTIVITY.datname == here,
            # Whoever may not end a session may not ask either.
            PG_ACTIVITY.usename == role,
            WORKER.lost_at.is_not_null(),
        )
    )


def hang_up() -> Statement[bool]:
    """End the sessions of lost workers that stand in the middle of a transaction, and so keep rows locked.

    No timeout of PostgreSQL does: between two statements that were sent together a session counts as busy. Sessions of
    another role are left alone. A worker that goes on after all connects anew, and hears that it was lost.
    """
    return _hang_up.bind(kind="advisory")


@template(read=scalar)
def _finish() -> Query[Any]:
    return (
        update(WORKER)
        .set(WORKER.ended_at, now())
        .set(WORKER.running, lit(0))
        .set(WORKER.buffered, lit(0))
        .where(WORKER.id == Bind("worker", BIGINT), WORKER.ended_at.is_null())
        .returning(WORKER.id)
    )


def finish(worker: int) -> Statement[int]:
    """This worker ends in an orderly way; what it may still hold is freed by the healer."""
    return _finish.bind(worker=worker)


@template(read=tuple)
def _held_by() -> Query[Any]:
    member = unnest("member", id=CLAIM.task_ids)
    return (
        select(TASK.id, TASK.run, (TASK.status == lit(Status.CANCELED)).as_("canceled"))
        .from_(CLAIM)
        .cross_join_lateral(select(member.id).from_(member).sub("member"))
        .join(TASK, TASK.id == member.id)
        .where(
            CLAIM.worker_id == Bind("worker", BIGINT),
            TASK.worker_id == Bind("worker", BIGINT),
            TASK.seq < lit(0),
            TASK.status.in_([lit(status) for status in sorted({*UNFINISHED, Status.CANCELED})]),
        )
    )


def held_by(worker: int) -> Statement[tuple[int, int, bool]]:
    """What the database thinks this worker holds, as ``(id, run, whether it was canceled)``."""
    return _held_by.bind(worker=worker)


@template(read=scalar)
def _alive_workers() -> Query[Any]:
    return select(WORKER.id).from_(WORKER).where(_alive())


def alive() -> Statement[int]:
    """Workers that have neither ended nor been lost."""
    return _alive_workers.bind()

"""Schedules as apps declare them: the newest deployment of an app decides. Not for: making tasks (``schedules``).

A deployment is what one version of an app declares. It is older than another if its version is lower, or the same and
the database saw it earlier. All statements of a declaration go in one transaction, behind ``take_turn``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from goque.model.schedules import Schedule
from goque.sql import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    JSONB,
    TEXT,
    TIMESTAMPTZ,
    Bind,
    Condition,
    Query,
    Statement,
    any_of,
    array,
    case,
    delete,
    excluded,
    exists,
    insert,
    lit,
    not_exists,
    now,
    scalar,
    select,
    template,
    unnest,
    update,
)
from goque.sql.tables import DEPLOYMENT, MAINTENANCE, SCHEDULE


def digest_of(schedules: Sequence[Schedule], version: int) -> str:
    """What tells one deployment's schedules from another's."""
    facts = [version, *(asdict(one) for one in sorted(schedules, key=lambda one: one.name))]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@template(read=scalar)
def _take_turn() -> Query[Any]:
    name = MAINTENANCE.name == Bind("name", TEXT)
    return update(MAINTENANCE).set(MAINTENANCE.last_at, now()).where(name).returning(MAINTENANCE.name)


def take_turn() -> Statement[str]:
    """Wait until nobody else declares or pauses schedules; the turn ends with the transaction."""
    return _take_turn.bind(name="declare")


@template(read=scalar)
def _see() -> Query[Any]:
    new = excluded(DEPLOYMENT)
    return (
        insert(DEPLOYMENT)
        .columns(DEPLOYMENT.app, DEPLOYMENT.digest, DEPLOYMENT.version)
        .values(Bind("app", TEXT), Bind("digest", TEXT), Bind("version", BIGINT))
        .on_conflict(DEPLOYMENT.app, DEPLOYMENT.digest)
        .do_update(DEPLOYMENT.seen_at.to(case((Bind("anew", BOOLEAN), new.seen_at), else_=DEPLOYMENT.seen_at)))
        .returning(DEPLOYMENT.seen_at)
    )


def see(app: str, digest: str, version: int, *, anew: bool) -> Statement[datetime]:
    """Note a deployment of an app; ``anew``: as if it had never been seen before."""
    return _see.bind(app=app, digest=digest, version=version, anew=anew)


def _newest() -> Condition:
    """The row of ``DEPLOYMENT`` is this one, and no other of its app goes before it."""
    other = DEPLOYMENT.as_("other")
    later = (other.version == DEPLOYMENT.version) & (other.seen_at > DEPLOYMENT.seen_at)
    before = select(other.digest).from_(other)
    return (
        (DEPLOYMENT.app == Bind("app", TEXT))
        & (DEPLOYMENT.digest == Bind("digest", TEXT))
        & not_exists(before.where(other.app == DEPLOYMENT.app, (other.version > DEPLOYMENT.version) | later))
    )


@template(read=scalar)
def _put() -> Query[Any]:
    row = unnest(
        "row",
        name=Bind("names", array(TEXT)),
        type=Bind("types", array(TEXT)),
        cron=Bind("crons", array(TEXT, nullable=True)),
        every_s=Bind("everys", array(DOUBLE, nullable=True)),
        tz=Bind("tzs", array(TEXT)),
        catch_up=Bind("catch_ups", array(TEXT)),
        run_on_start=Bind("run_on_starts", array(BOOLEAN)),
        payload=Bind("payloads", array(JSONB, nullable=True)),
        next_at=Bind("next_ats", array(TIMESTAMPTZ)),
    )
    new, old = excluded(SCHEDULE), SCHEDULE
    retimed = (
        old.retired_at.is_not_null()
        | old.cron.is_distinct_from(new.cron)
        | old.every_s.is_distinct_from(new.every_s)
        | (old.tz != new.tz)
    )
    redefined = (
        retimed
        | (old.type != new.type)
        | (old.catch_up != new.catch_up)
        | (old.run_on_start != new.run_on_start)
        | old.payload.is_distinct_from(new.payload)
    )
    starts = retimed | (new.run_on_start & redefined)
    return (
        insert(SCHEDULE)
        .columns(
            old.name,
            old.type,
            old.cron,
            old.every_s,
            old.tz,
            old.catch_up,
            old.run_on_start,
            old.payload,
            old.next_at,
            old.app,
            old.deployed_at,
        )
        .select(
            select(
                row.name,
                row.type,
                row.cron,
                row.every_s,
                row.tz,
                row.catch_up,
                row.run_on_start,
                row.payload,
                row.next_at,
                DEPLOYMENT.app,
                DEPLOYMENT.seen_at,
            )
            .from_(row)
            .cross_join(DEPLOYMENT)
            .where(_newest())
        )
        .on_conflict(old.name)
        .do_update(
            old.type.to(new.type),
            old.cron.to(new.cron),
            old.every_s.to(new.every_s),
            old.tz.to(new.tz),
            old.catch_up.to(new.catch_up),
            old.run_on_start.to(new.run_on_start),
            old.payload.to(new.payload),
            old.next_at.to(case((starts, new.next_at), else_=old.next_at)),
            old.app.to(new.app),
            old.deployed_at.to(new.deployed_at),
            old.retired_at.to(None),
            old.revision.to(old.revision + lit(1)),
            # Another app may have the name: whose deployment was seen later has it.
            where=((old.app == new.app) & (redefined | (old.deployed_at != new.deployed_at)))
            | ((old.app != new.app) & (old.deployed_at <= new.deployed_at)),
        )
        .returning(SCHEDULE.name)
    )


def put(app: str, digest: str, schedules: Sequence[tuple[Schedule, datetime]]) -> Statement[str]:
    """Insert or change schedules, each with its first slot, if this deployment is the newest of its app.

    A schedule whose times are the same keeps its next slot. Gives those that are new or changed.
    """
    ordered = sorted(schedules, key=lambda one: one[0].name)
    declared = [schedule for schedule, _ in ordered]
    return _put.bind(
        app=app,
        digest=digest,
        names=[one.name for one in declared],
        types=[one.type for one in declared],
        crons=[one.cron for one in declared],
        everys=[one.every_s for one in declared],
        tzs=[one.tz for one in declared],
        catch_ups=[one.catch_up for one in declared],
        run_on_starts=[one.run_on_start for one in declared],
        payloads=[None if one.payload is None else json.dumps(one.payload) for one in declared],
        next_ats=[next_at for _, next_at in ordered],
    )


@template(read=scalar)
def _retire() -> Query[Any]:
    gone = ~(SCHEDULE.name == any_of(Bind("names", array(TEXT))))
    newest = exists(select(DEPLOYMENT.digest).from_(DEPLOYMENT).where(_newest()))
    return (
        update(SCHEDULE)
        .set(SCHEDULE.retired_at, now())
        .set(SCHEDULE.revision, SCHEDULE.revision + lit(1))
        .where(SCHEDULE.app == Bind("app", TEXT), SCHEDULE.retired_at.is_null(), gone, newest)
        .returning(SCHEDULE.name)
    )


def retire(app: str, digest: str, names: Sequence[str]) -> Statement[str]:
    """Retire an app's schedules other than these, if this deployment is its newest. Gives their names."""
    return _retire.bind(app=app, digest=digest, names=list(names))


@template(read=scalar)
def _is_newest() -> Query[Any]:
    return select(exists(select(DEPLOYMENT.digest).from_(DEPLOYMENT).where(_newest())).as_("newest"))


def is_newest(app: str, digest: str) -> Statement[bool]:
    """Whether no deployment of this app goes before this one: a higher version, or the same and seen later."""
    return _is_newest.bind(app=app, digest=digest)


@template(read=scalar)
def _forget() -> Query[Any]:
    gone = delete(DEPLOYMENT).where(DEPLOYMENT.app == Bind("app", TEXT)).returning(DEPLOYMENT.digest).cte("gone")
    removed = delete(SCHEDULE).where(SCHEDULE.app == Bind("app", TEXT)).returning(SCHEDULE.name).cte("removed")
    return select(gone.digest).with_(gone, removed).from_(gone)


def forget(app: str) -> Statement[str]:
    """Remove an app's schedules, and forget its deployments. Gives these."""
    return _forget.bind(app=app)

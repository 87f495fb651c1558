"""Work that is given a second time: names of batches, digests of items, external ids. Not for: comparing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.model.identity import FIRST_BATCH_TASK, SPAN
from goque.model.states import Status
from goque.queries.statuses import FINAL
from goque.queries.tally import counted
from goque.sql import (
    BIGINT,
    BYTEA,
    INTEGER,
    TEXT,
    TIMESTAMPTZ,
    Bind,
    Condition,
    Query,
    Statement,
    any_of,
    array,
    array_agg,
    case,
    delete,
    exists,
    function,
    insert,
    lit,
    not_exists,
    now,
    null,
    optional,
    present,
    scalar,
    select,
    subquery,
    template,
    unnest,
    update,
)
from goque.sql.tables import BATCH, BATCH_ITEMS, DELETED_BATCH, DEPENDENCY, EXTERNAL_ID, TASK
from goque.sql.types import TID

STEP = 2_000
"""Followers that are given an outcome in one step."""
FOLLOWED = 20_000
"""Tasks of a map that are looked at in one step, to find those that follow another."""


@template(read=scalar)
def _add_sameness() -> Query[Any]:
    added = function("array_append", array(TEXT), BATCH.sameness, Bind("key", TEXT))
    return (
        update(BATCH)
        .set(BATCH.sameness, added)
        .set(BATCH.changed_at, now())
        .where(BATCH.id == Bind("id", BIGINT))
        .returning(BATCH.id)
    )


def add_sameness(id: int, key: str) -> Statement[int]:
    """One more function that counts as the same for this batch."""
    return _add_sameness.bind(id=id, key=key)


@template(read=scalar)
def _supersede() -> Query[Any]:
    return update(BATCH).set(BATCH.superseded_at, now()).where(BATCH.id == Bind("id", BIGINT)).returning(BATCH.id)


def supersede(id: int) -> Statement[int]:
    """Another batch takes over its name; this one is still there by id."""
    return _supersede.bind(id=id)


@template(read=scalar)
def _item_digests() -> Query[Any]:
    return (
        insert(BATCH_ITEMS)
        .set(BATCH_ITEMS.batch_id, Bind("id", BIGINT))
        .set(BATCH_ITEMS.first, Bind("first", BIGINT))
        .set(BATCH_ITEMS.digests, Bind("digests", BYTEA))
        .returning(BATCH_ITEMS.first)
    )


def item_digests(id: int, first: int, digests: bytes) -> Statement[int]:
    """Keep the digests of a piece of a named batch's items."""
    return _item_digests.bind(id=id, first=first, digests=digests)


@template(read=scalar)
def _take_external_id() -> Query[Any]:
    return (
        insert(EXTERNAL_ID)
        .columns(EXTERNAL_ID.type, EXTERNAL_ID.external_id, EXTERNAL_ID.task_id)
        .values(Bind("type", TEXT), Bind("external_id", TEXT), Bind("task", BIGINT))
        .on_conflict(EXTERNAL_ID.type, EXTERNAL_ID.external_id)
        .do_nothing()
        .returning(EXTERNAL_ID.task_id)
    )


def take_external_id(type: str, external_id: str, task: int) -> Statement[int]:
    """Take an external id for a task. No row when another has it."""
    return _take_external_id.bind(type=type, external_id=external_id, task=task)


@template(read=scalar)
def _holder() -> Query[Any]:
    return (
        select(EXTERNAL_ID.task_id)
        .from_(EXTERNAL_ID)
        .where(
            EXTERNAL_ID.type == Bind("type", TEXT), EXTERNAL_ID.external_id == Bind("external_id", TEXT), _is_there()
        )
    )


def holder(type: str, external_id: str) -> Statement[int]:
    """The task that has an external id."""
    return _holder.bind(type=type, external_id=external_id)


@template(read=scalar)
def _take_external_ids() -> Query[Any]:
    wanted = (
        select(Bind("type", TEXT).as_("type"), present(TASK.external_id).as_("external_id"), TASK.id)
        .from_(TASK)
        .where(
            TASK.id >= Bind("first", BIGINT),
            TASK.id <= Bind("last", BIGINT),
            TASK.external_id.is_not_null(),
            TASK.same_as.is_null(),
        )
        # Sorted, so that two maps with the same ids wait for each other rather than deadlock.
        .order_by(TASK.external_id, TASK.id)
    )
    return (
        insert(EXTERNAL_ID)
        .columns(EXTERNAL_ID.type, EXTERNAL_ID.external_id, EXTERNAL_ID.task_id)
        .select(wanted)
        .on_conflict(EXTERNAL_ID.type, EXTERNAL_ID.external_id)
        .do_nothing()
        .returning(EXTERNAL_ID.task_id)
    )


def take_external_ids(type: str, first: int, last: int) -> Statement[int]:
    """Take the external ids of the tasks of a range that do not share an outcome. Gives those that got theirs now."""
    return _take_external_ids.bind(type=type, first=first, last=last)


def _of_range() -> Condition:
    return (TASK.id >= Bind("first", BIGINT)) & (TASK.id <= Bind("last", BIGINT))


def _is_there() -> Condition:
    """Not of a batch that is gone, whose external ids go step by step."""
    gone = select(DELETED_BATCH.id).from_(DELETED_BATCH).where(DELETED_BATCH.id == EXTERNAL_ID.task_id // lit(SPAN))
    return not_exists(gone)


def _is_held() -> Condition:
    return (EXTERNAL_ID.type == Bind("type", TEXT)) & (EXTERNAL_ID.external_id == present(TASK.external_id))


@template(read=scalar)
def _hold_singles() -> Query[Any]:
    holder = TASK.as_("holder")
    return (
        select(holder.id)
        .from_(TASK)
        .join(EXTERNAL_ID, _is_held())
        .join(holder, holder.id == EXTERNAL_ID.task_id)
        .where(_of_range(), EXTERNAL_ID.task_id != TASK.id, EXTERNAL_ID.task_id < lit(FIRST_BATCH_TASK))
        .order_by(holder.id)
        .for_key_share(of=holder)
    )


@template(read=scalar)
def _hold_batches() -> Query[Any]:
    followed = (
        select((EXTERNAL_ID.task_id // lit(SPAN)).as_("batch"))
        .from_(TASK)
        .join(EXTERNAL_ID, _is_held())
        .where(_of_range(), EXTERNAL_ID.task_id != TASK.id)
    )
    return select(BATCH.id).from_(BATCH).where(BATCH.id.in_(followed)).order_by(BATCH.id).for_key_share()


def hold(type: str, first: int, last: int) -> list[Statement[int]]:
    """Keep the tasks that have external ids of a range, or their batches, from being removed until we have committed.

    Their outcomes can be written meanwhile: a worker skips a locked row, and comes again.
    """
    values = {"type": type, "first": first, "last": last}
    return [_hold_singles.bind(**values), _hold_batches.bind(**values)]


@template(read=scalar)
def _forget_holders() -> Query[Any]:
    return (
        delete(EXTERNAL_ID)
        .using(TASK, DELETED_BATCH)
        .where(_of_range(), _is_held(), DELETED_BATCH.id == EXTERNAL_ID.task_id // lit(SPAN))
        .returning(EXTERNAL_ID.task_id)
    )


def forget_holders(type: str, first: int, last: int) -> Statement[int]:
    """Free the external ids of a range that tasks of batches have which are gone."""
    return _forget_holders.bind(type=type, first=first, last=last)


@template(read=scalar)
def _forget_holder() -> Query[Any]:
    return (
        delete(EXTERNAL_ID)
        .using(DELETED_BATCH)
        .where(
            EXTERNAL_ID.type == Bind("type", TEXT),
            EXTERNAL_ID.external_id == Bind("external_id", TEXT),
            DELETED_BATCH.id == EXTERNAL_ID.task_id // lit(SPAN),
        )
        .returning(EXTERNAL_ID.task_id)
    )


def forget_holder(type: str, external_id: str) -> Statement[int]:
    """Free an external id if a task of a batch has it that is gone."""
    return _forget_holder.bind(type=type, external_id=external_id)


@template(read=tuple)
def _follow() -> Query[Any]:
    holder = TASK.as_("holder")
    # One probe of the primary key for each, whatever the planner thinks of rows of which there are no statistics.
    held = subquery(select(holder.status).from_(holder).where(holder.id == EXTERNAL_ID.task_id))
    duplicate = (
        select(TASK.id, TASK.status.as_("before"), EXTERNAL_ID.task_id, (held == lit(Status.DONE)).as_("there"))
        .from_(TASK)
        .join(EXTERNAL_ID, _is_held())
        .where(_of_range(), EXTERNAL_ID.task_id != TASK.id, TASK.same_as.is_null(), _is_there())
        .cte("duplicate", materialized=True)
    )
    followers = (
        update(TASK)
        .set(TASK.status, case((duplicate.there, lit(Status.DONE)), else_=lit(Status.PENDING)))
        .set(TASK.finished_at, case((duplicate.there, optional(now())), else_=null(TIMESTAMPTZ)))
        .set(TASK.seq, None)
        .set(TASK.run_at, None)
        .set(TASK.args, None)
        .set(TASK.same_as, duplicate.task_id)
        .from_(duplicate)
        .where(TASK.id == duplicate.id)
        .returning(TASK.id, TASK.same_as, TASK.lane_id, duplicate.before, TASK.status.as_("after"))
        .cte("followers")
    )
    edges = (
        insert(DEPENDENCY)
        .columns(DEPENDENCY.input_id, DEPENDENCY.dependant_id)
        .select(
            select(present(followers.same_as).as_("input_id"), followers.id)
            .from_(followers)
            .where(followers.after == lit(Status.PENDING))
        )
        .returning(DEPENDENCY.input_id)
        .cte("edges")
    )
    counts = counted(followers, before=followers.before, after=followers.after)
    return select(followers.id, followers.same_as).with_(duplicate, followers, edges, counts).from_(followers)


def follow(type: str, first: int, last: int) -> Statement[tuple[int, int]]:
    """Let the tasks of a range whose external id another task has share that one's outcome. Gives (task, other).

    They have it at once where it is there, and where it is not as soon as ``share`` is told of it.
    """
    return _follow.bind(type=type, first=first, last=last)


@template(read=scalar)
def _share() -> Query[Any]:
    inputs = unnest("inputs", id=Bind("ids", array(BIGINT)))
    near = (DEPENDENCY.input_id >= Bind("first", BIGINT)) & (DEPENDENCY.input_id <= Bind("last", BIGINT))
    limit = Bind("limit", INTEGER)
    # By input, and edges by their place, whatever the planner thinks of their number: a plan made while there are none
    # would otherwise walk all of them for each flush, until statistics come.
    own = (
        select(DEPENDENCY.ctid.as_("place"), DEPENDENCY.dependant_id)
        .from_(DEPENDENCY)
        .where(DEPENDENCY.input_id == inputs.id)
        .limit(limit)
        .sub("own")
    )
    edge = (
        select(own.place, own.dependant_id, TASK.status.as_("after"))
        .from_(inputs)
        .join(TASK, TASK.id == inputs.id)
        .cross_join_lateral(own)
        # Hardly anybody shares, and every outcome comes by here: one probe of the index, not one for each.
        .where(exists(select(DEPENDENCY.input_id).from_(DEPENDENCY).where(near)), TASK.status.in_(FINAL))
        .limit(limit)
        .cte("edge", materialized=True)
    )
    follower = TASK.as_("follower")
    row = (
        select(follower.id, follower.lane_id, follower.status.as_("before"))
        .from_(follower)
        .where(follower.id == edge.dependant_id)
        .for_update(skip_locked=True)
        .sub("row")
    )
    locked = (
        select(row.id, row.lane_id, row.before, edge.place, edge.after)
        .from_(edge)
        .cross_join_lateral(row)
        .cte("locked", materialized=True)
    )
    places = subquery(select(array_agg(locked.place).as_("places")).from_(locked))
    # An edge goes with its follower or stays: one that is skipped here is found by the sweeper.
    cut = (
        delete(DEPENDENCY)
        .where(DEPENDENCY.ctid == any_of(places.cast(array(TID))))
        .returning(DEPENDENCY.dependant_id)
        .cte("cut")
    )
    released = (
        update(TASK)
        .set(TASK.status, locked.after)
        .set(TASK.finished_at, now())
        .from_(locked)
        .where(TASK.id == locked.id, locked.before == lit(Status.PENDING))
        .returning(TASK.id, TASK.lane_id, locked.before, TASK.status.as_("after"))
        .cte("released")
    )
    counts = counted(released, before=released.before, after=released.after)
    return select(released.id).with_(edge, locked, cut, released, counts).from_(released)


def share(inputs: Sequence[int], limit: int = STEP) -> Statement[int]:
    """Give the outcome of these tasks to some that share it by their external id, as far as they are final.

    Gives those that have it now. Where they are ``limit`` there may be more: run it again. Edges are the durable note
    of what is left, also by whoever has died, and of followers that somebody has locked: ``upkeep.inputs`` finds them,
    and no completer waits for a person's transaction.
    """
    ids = sorted(inputs)
    first, last = (ids[0], ids[-1]) if ids else (0, -1)
    return _share.bind(ids=ids, first=first, last=last, limit=limit)

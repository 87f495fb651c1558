"""Objects that are stored once and shared by tasks: putting, finding and reading them. Not for: their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from goque.sql import (
    BIGINT,
    BYTEA,
    DOUBLE,
    INTEGER,
    TEXT,
    Bind,
    Query,
    Statement,
    any_of,
    array,
    coalesce,
    delete,
    epoch,
    excluded,
    exists,
    insert,
    not_exists,
    now,
    scalar,
    select,
    template,
    update,
)
from goque.sql.tables import LANE, OBJECT, OBJECT_NAME, OBJECT_PART

UNUSED_S = 7 * 86_400.0
"""Seconds after its last use before an object that no lane names may go, unless somebody said otherwise."""


class ObjectRow(NamedTuple):
    """A stored object without its bytes; ``seal`` signs its digest."""

    digest: str
    key_id: str
    parts: int
    seal: bytes


@template(read=scalar)
def _put() -> Query[Any]:
    return (
        insert(OBJECT)
        .set(OBJECT.digest, Bind("digest", TEXT))
        .set(OBJECT.key_id, Bind("key_id", TEXT))
        .set(OBJECT.owner, Bind("owner", TEXT))
        .set(OBJECT.type, Bind("type", TEXT))
        .set(OBJECT.size, Bind("size", BIGINT))
        .set(OBJECT.parts, Bind("parts", INTEGER))
        .set(OBJECT.seal, Bind("seal", BYTEA))
        .on_conflict(OBJECT.digest, OBJECT.key_id)
        .do_nothing()
        .returning(OBJECT.digest)
    )


def put(*, digest: str, key_id: str, owner: str, type: str, size: int, parts: int, seal: bytes) -> Statement[str]:
    """A new object, whose parts follow in the same transaction. No row when it is there already."""
    return _put.bind(digest=digest, key_id=key_id, owner=owner, type=type, size=size, parts=parts, seal=seal)


@template(read=scalar)
def _put_part() -> Query[Any]:
    return (
        insert(OBJECT_PART)
        .set(OBJECT_PART.digest, Bind("digest", TEXT))
        .set(OBJECT_PART.key_id, Bind("key_id", TEXT))
        .set(OBJECT_PART.number, Bind("number", INTEGER))
        .set(OBJECT_PART.data, Bind("data", BYTEA))
        .returning(OBJECT_PART.number)
    )


def put_part(digest: str, key_id: str, number: int, data: bytes) -> Statement[int]:
    """One part of an object's bytes."""
    return _put_part.bind(digest=digest, key_id=key_id, number=number, data=data)


@template(read=scalar)
def _touch() -> Query[Any]:
    return (
        update(OBJECT)
        .set(OBJECT.last_used_at, now())
        .where(OBJECT.digest == any_of(Bind("digests", array(TEXT))))
        .returning(OBJECT.digest)
    )


def touch(digests: Sequence[str]) -> Statement[str]:
    """Objects are used now. Gives those that are there."""
    return _touch.bind(digests=sorted(digests))


@template(read=ObjectRow._make)
def _find() -> Query[Any]:
    return (
        select(OBJECT.digest, OBJECT.key_id, OBJECT.parts, OBJECT.seal)
        .from_(OBJECT)
        .where(OBJECT.digest == Bind("digest", TEXT))
    )


def find(digest: str) -> Statement[ObjectRow]:
    """An object, once for each key that signed it."""
    return _find.bind(digest=digest)


@template(read=scalar)
def _part() -> Query[Any]:
    return (
        select(OBJECT_PART.data)
        .from_(OBJECT_PART)
        .where(
            OBJECT_PART.digest == Bind("digest", TEXT),
            OBJECT_PART.key_id == Bind("key_id", TEXT),
            OBJECT_PART.number == Bind("number", INTEGER),
        )
    )


def parts_of(row: ObjectRow) -> list[Statement[bytes]]:
    """One statement for each part of an object's bytes, in order."""
    return [_part.bind(digest=row.digest, key_id=row.key_id, number=number) for number in range(row.parts)]


@template(read=scalar)
def _keep() -> Query[Any]:
    return (
        update(OBJECT)
        .set(OBJECT.keep_s, Bind("keep_s", DOUBLE))
        .where(OBJECT.digest == Bind("digest", TEXT), OBJECT.key_id == Bind("key_id", TEXT))
        .returning(OBJECT.digest)
    )


def keep(digest: str, key_id: str, keep_s: float) -> Statement[str]:
    """An object stays for so many seconds after its last use, however many somebody said before."""
    return _keep.bind(digest=digest, key_id=key_id, keep_s=keep_s)


# Names


class Named(NamedTuple):
    """What a name stands for; ``seal`` signs that it does."""

    digest: str
    key_id: str
    size: int
    type: str
    seal: bytes


@template(read=Named._make)
def _named() -> Query[Any]:
    return (
        select(OBJECT.digest, OBJECT.key_id, OBJECT.size, OBJECT.type, OBJECT_NAME.seal)
        .from_(OBJECT_NAME)
        .join(OBJECT, (OBJECT.digest == OBJECT_NAME.digest) & (OBJECT.key_id == OBJECT_NAME.key_id))
        .where(OBJECT_NAME.owner == Bind("owner", TEXT), OBJECT_NAME.name == Bind("name", TEXT))
    )


def named(owner: str, name: str) -> Statement[Named]:
    """The object that somebody has put under a name."""
    return _named.bind(owner=owner, name=name)


@template(read=scalar)
def _name() -> Query[Any]:
    new = excluded(OBJECT_NAME)
    return (
        insert(OBJECT_NAME)
        .set(OBJECT_NAME.owner, Bind("owner", TEXT))
        .set(OBJECT_NAME.name, Bind("name", TEXT))
        .set(OBJECT_NAME.digest, Bind("digest", TEXT))
        .set(OBJECT_NAME.key_id, Bind("key_id", TEXT))
        .set(OBJECT_NAME.seal, Bind("seal", BYTEA))
        .on_conflict(OBJECT_NAME.owner, OBJECT_NAME.name)
        .do_update(
            OBJECT_NAME.digest.to(new.digest),
            OBJECT_NAME.key_id.to(new.key_id),
            OBJECT_NAME.seal.to(new.seal),
            OBJECT_NAME.changed_at.to(now()),
        )
        .returning(OBJECT_NAME.digest)
    )


def name(owner: str, name: str, digest: str, key_id: str, seal: bytes) -> Statement[str]:
    """A name stands for this object from now on."""
    return _name.bind(owner=owner, name=name, digest=digest, key_id=key_id, seal=seal)


@template(read=scalar)
def _unkeep() -> Query[Any]:
    names = (
        select(OBJECT_NAME.name)
        .from_(OBJECT_NAME)
        .where(OBJECT_NAME.digest == OBJECT.digest, OBJECT_NAME.key_id == OBJECT.key_id)
    )
    return (
        update(OBJECT)
        .set(OBJECT.keep_s, None)
        .where(OBJECT.digest == Bind("digest", TEXT), OBJECT.key_id == Bind("key_id", TEXT), not_exists(names))
        .returning(OBJECT.digest)
    )


def unkeep(digest: str, key_id: str) -> Statement[str]:
    """An object that a name stood for goes as if nothing had been said, unless another name stands for it."""
    return _unkeep.bind(digest=digest, key_id=key_id)


# What tasks need


@template(read=scalar)
def _needed_by() -> Query[Any]:
    return (
        update(LANE)
        .set(LANE.objects, Bind("digests", array(TEXT)))
        .where(LANE.id == Bind("lane", BIGINT))
        .returning(LANE.id)
    )


def needed_by(lane: int, digests: Sequence[str]) -> Statement[int]:
    """The tasks of this lane need these objects. Belongs into the transaction that stores them."""
    return _needed_by.bind(lane=lane, digests=sorted(digests))


@template(read=scalar)
def _forget_unused() -> Query[Any]:
    needed = select(LANE.id).from_(LANE).where(OBJECT.digest == any_of(LANE.objects))
    old = (
        select(OBJECT.digest, OBJECT.key_id)
        .from_(OBJECT)
        .where(epoch(now() - OBJECT.last_used_at) > coalesce(OBJECT.keep_s, Bind("unused_s", DOUBLE)), ~exists(needed))
        .limit(Bind("limit", INTEGER))
        .for_update(skip_locked=True)
        .cte("old", materialized=True)
    )
    return (
        delete(OBJECT)
        .using(old)
        .where(OBJECT.digest == old.digest, OBJECT.key_id == old.key_id)
        .with_(old)
        .returning(OBJECT.digest)
    )


def forget_unused(unused_s: float = UNUSED_S, limit: int = 10) -> Statement[str]:
    """Drop objects that no lane needs and nobody has put, found or submitted with for a while.

    Their parts and names go with them.
    """
    return _forget_unused.bind(unused_s=unused_s, limit=limit)

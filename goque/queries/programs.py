"""What tasks run and how, stored once for many of them: functions and lanes. Not for: the tasks (``enqueue``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from goque.sql import (
    BIGINT,
    BYTEA,
    DOUBLE,
    INTEGER,
    SMALLINT,
    TEXT,
    Bind,
    Query,
    Statement,
    array,
    insert,
    now,
    optional,
    scalar,
    select,
    template,
    unnest,
    update,
)
from goque.sql.tables import BATCH, FUNCTION, LANE


class FunctionRow(NamedTuple):
    """A stored function; ``code`` is sealed."""

    id: int
    code: bytes


@template(read=FunctionRow._make)
def _put_function() -> Query[Any]:
    return (
        insert(FUNCTION)
        .set(FUNCTION.hash, Bind("hash", TEXT))
        .set(FUNCTION.key_id, Bind("key_id", TEXT))
        .set(FUNCTION.name, Bind("name", TEXT))
        .set(FUNCTION.python, Bind("python", TEXT))
        .set(FUNCTION.source_key, Bind("source_key", TEXT))
        .set(FUNCTION.source, Bind("source", TEXT, nullable=True))
        .set(FUNCTION.filename, Bind("filename", TEXT, nullable=True))
        .set(FUNCTION.first_line, Bind("first_line", INTEGER, nullable=True))
        .set(FUNCTION.code, Bind("code", BYTEA))
        .on_conflict(FUNCTION.hash, FUNCTION.key_id)
        .do_update(FUNCTION.last_used_at.to(now()))
        .returning(FUNCTION.id, FUNCTION.code)
    )


def put_function(
    *,
    hash: str,
    key_id: str,
    name: str,
    python: str,
    source_key: str,
    source: str | None,
    filename: str | None,
    first_line: int | None,
    code: bytes,
) -> Statement[FunctionRow]:
    """Store a function once. Gives the row that is there, whose code the caller must verify."""
    return _put_function.bind(
        hash=hash,
        key_id=key_id,
        name=name,
        python=python,
        source_key=source_key,
        source=source,
        filename=filename,
        first_line=first_line,
        code=code,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLane:
    """A lane to be made, or found: everything that decides who runs its tasks and how."""

    digest: str
    batch_id: int | None
    queue: str
    priority: int
    type: str
    function_id: int | None
    python: str | None
    tags: Sequence[str]
    key_ids: Sequence[str]
    seal: bytes | None
    policy: bytes | None
    max_attempts: int
    timeout_s: float | None
    keep_s: float | None
    cwd: str | None
    owner: str
    objects: Sequence[str] = ()
    traceparent: str | None = None

    def values(self) -> dict[str, object]:
        """These as the values of a statement."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {name: list(getattr(self, name)) for name in ("tags", "key_ids", "objects")}


def _lane_insert() -> Any:
    return (
        insert(LANE)
        .set(LANE.digest, Bind("digest", TEXT))
        .set(LANE.batch_id, Bind("batch_id", BIGINT, nullable=True))
        .set(LANE.queue, Bind("queue", TEXT))
        .set(LANE.priority, Bind("priority", INTEGER))
        .set(LANE.type, Bind("type", TEXT))
        .set(LANE.function_id, Bind("function_id", BIGINT, nullable=True))
        .set(LANE.python, Bind("python", TEXT, nullable=True))
        .set(LANE.tags, Bind("tags", array(TEXT)))
        .set(LANE.key_ids, Bind("key_ids", array(TEXT)))
        .set(LANE.objects, Bind("objects", array(TEXT)))
        .set(LANE.seal, Bind("seal", BYTEA, nullable=True))
        .set(LANE.policy, Bind("policy", BYTEA, nullable=True))
        .set(LANE.max_attempts, Bind("max_attempts", SMALLINT))
        .set(LANE.timeout_s, Bind("timeout_s", DOUBLE, nullable=True))
        .set(LANE.keep_s, Bind("keep_s", DOUBLE, nullable=True))
        .set(LANE.cwd, Bind("cwd", TEXT, nullable=True))
        .set(LANE.owner, Bind("owner", TEXT))
        .set(LANE.traceparent, Bind("traceparent", TEXT, nullable=True))
    )


@template(read=scalar)
def _shared_lane() -> Query[Any]:
    made: Query[Any] = (
        _lane_insert()
        .on_conflict(LANE.digest, where=LANE.batch_id.is_null())
        .do_update(LANE.last_used_at.to(now()))
        .returning(LANE.id)
    )
    return made


@template(read=scalar)
def _batch_lane() -> Query[Any]:
    made: Query[Any] = _lane_insert().returning(LANE.id)
    return made


def lane(new: NewLane) -> Statement[int]:
    """The lane's id: one that is there where it is shared by single tasks, a new one for a batch."""
    return (_shared_lane if new.batch_id is None else _batch_lane).bind(**new.values())


class LaneRow(NamedTuple):
    """What is needed to run the tasks of a lane; sealed fields are sealed."""

    id: int
    digest: str
    batch_id: int | None
    queue: str
    type: str
    function_hash: str | None
    """None for a named type, whose code the worker has."""
    code: bytes | None
    source: str | None
    filename: str | None
    first_line: int | None
    seal: bytes | None
    policy: bytes | None
    kwargs: bytes | None
    timeout_s: float | None
    cwd: str | None
    owner: str
    objects: list[str] = []  # noqa: RUF012 - a row is not changed
    traceparent: str | None = None


@template(read=LaneRow._make)
def _programs() -> Query[Any]:
    wanted = unnest("wanted", id=Bind("lanes", array(BIGINT)))
    return (
        select(
            LANE.id,
            LANE.digest,
            LANE.batch_id,
            LANE.queue,
            LANE.type,
            optional(FUNCTION.hash),
            optional(FUNCTION.code),
            FUNCTION.source,
            FUNCTION.filename,
            FUNCTION.first_line,
            LANE.seal,
            LANE.policy,
            optional(BATCH.kwargs),
            LANE.timeout_s,
            LANE.cwd,
            LANE.owner,
            LANE.objects,
            LANE.traceparent,
        )
        .from_(wanted)
        .join(LANE, LANE.id == wanted.id)
        .left_join(FUNCTION, FUNCTION.id == LANE.function_id)
        .left_join(BATCH, BATCH.id == LANE.batch_id)
        .where(LANE.function_id.is_null() | FUNCTION.id.is_not_null())
    )


def programs(lanes: Sequence[int]) -> Statement[LaneRow]:
    """What is needed to run the tasks of these lanes."""
    return _programs.bind(lanes=list(lanes))


@template(read=scalar)
def _lacks() -> Query[Any]:
    return (
        update(LANE).set(LANE.lacking, Bind("module", TEXT)).where(LANE.id == Bind("lane", BIGINT)).returning(LANE.id)
    )


def lacks(lane: int, module: str) -> Statement[int]:
    """A worker could not load what this lane runs for want of a module."""
    return _lacks.bind(lane=lane, module=module)

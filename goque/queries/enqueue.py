"""Storing work: functions, lanes, batches, tasks. Not for: streaming the rows of a map, which goes by COPY."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from goque.model.states import Status
from goque.queries.moments import ready_now
from goque.queries.tally import counted
from goque.sql import (
    BIGINT,
    BYTEA,
    DOUBLE,
    INTEGER,
    JSONB,
    SMALLINT,
    TEXT,
    TIMESTAMPTZ,
    Bind,
    Query,
    Statement,
    array,
    case,
    coalesce,
    excluded,
    generate_series,
    insert,
    lit,
    nextval,
    now,
    null,
    pg_notify,
    present,
    scalar,
    seconds,
    select,
    template,
    unnest,
    update,
)
from goque.sql.columns import RowFunction
from goque.sql.tables import BATCH, BATCH_ITEMS, DEPENDENCY, EXTERNAL_ID, FUNCTION, LANE, SETTING, TALLY, TASK


@template(read=tuple)
def _new_batch() -> Query[Any]:
    return select(nextval("batch_id").as_("batch"), ready_now().as_("ready"))


def new_batch() -> Statement[tuple[int, int]]:
    """A number for a new batch, and the moment from which its tasks are in order."""
    return _new_batch.bind()


@template(read=scalar)
def _task_ids() -> Query[Any]:
    numbers = generate_series("n", lit(1), Bind("count", INTEGER))
    return select(nextval("task_id").as_("id")).from_(numbers)


def task_ids(count: int) -> Statement[int]:
    """Numbers for tasks that belong to no batch."""
    return _task_ids.bind(count=count)


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

    def values(self) -> dict[str, object]:
        """These as the values of a statement."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"tags": list(self.tags), "key_ids": list(self.key_ids)}


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
        .set(LANE.seal, Bind("seal", BYTEA, nullable=True))
        .set(LANE.policy, Bind("policy", BYTEA, nullable=True))
        .set(LANE.max_attempts, Bind("max_attempts", SMALLINT))
        .set(LANE.timeout_s, Bind("timeout_s", DOUBLE, nullable=True))
        .set(LANE.keep_s, Bind("keep_s", DOUBLE, nullable=True))
        .set(LANE.cwd, Bind("cwd", TEXT, nullable=True))
        .set(LANE.owner, Bind("owner", TEXT))
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


@template(read=scalar)
def _batch() -> Query[Any]:
    return (
        insert(BATCH)
        .set(BATCH.id, Bind("id", BIGINT))
        .set(BATCH.owner, Bind("owner", TEXT))
        .set(BATCH.name, Bind("name", TEXT, nullable=True))
        .set(BATCH.total, Bind("total", BIGINT))
        .set(BATCH.type, Bind("type", TEXT))
        .set(BATCH.kwargs, Bind("kwargs", BYTEA, nullable=True))
        .set(BATCH.sameness, Bind("sameness", array(TEXT)))
        .set(BATCH.environment, Bind("environment", JSONB))
        .set(BATCH.metadata, Bind("metadata", JSONB, nullable=True))
        .set(BATCH.keep_s, Bind("keep_s", DOUBLE, nullable=True))
        .returning(BATCH.id)
    )


def batch(
    *,
    id: int,
    owner: str,
    name: str | None,
    total: int,
    type: str,
    kwargs: bytes | None,
    sameness: Sequence[str],
    environment: Mapping[str, Any],
    metadata: Mapping[str, Any] | None,
    keep_s: float | None,
) -> Statement[int]:
    """A new batch. A name that its owner uses already violates a unique index."""
    return _batch.bind(
        id=id,
        owner=owner,
        name=name,
        total=total,
        type=type,
        kwargs=kwargs,
        sameness=list(sameness),
        environment=dict(environment),
        metadata=None if metadata is None else dict(metadata),
        keep_s=keep_s,
    )


@template(read=scalar)
def _grow() -> Query[Any]:
    return (
        update(BATCH)
        .set(BATCH.total, Bind("total", BIGINT))
        .set(BATCH.changed_at, now())
        .where(BATCH.id == Bind("id", BIGINT))
        .returning(BATCH.id)
    )


def grow(id: int, total: int) -> Statement[int]:
    """The batch now has so many items."""
    return _grow.bind(id=id, total=total)


@template(read=scalar)
def _add_sameness() -> Query[Any]:
    from goque.sql import function

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
def _tallied() -> Query[Any]:
    new = Bind("new", BIGINT)
    pending = Bind("pending", BIGINT)
    return (
        insert(TALLY)
        .columns(TALLY.lane_id, TALLY.new, TALLY.pending)
        .values(Bind("lane", BIGINT), new, pending)
        .returning(TALLY.lane_id)
    )


def tallied(lane: int, *, new: int = 0, pending: int = 0) -> Statement[int]:
    """Count tasks that were just stored in a lane."""
    return _tallied.bind(lane=lane, new=new, pending=pending)


class Single(NamedTuple):
    """A task that belongs to no batch, ready at once, ``delay`` seconds from now, or at ``run_at``.

    ``expires`` is seconds from now, ``expires_at`` a moment. "Now" is the database's. ``args`` is sealed; a task of a
    named type has a ``payload`` instead, which is JSON text.
    """

    id: int
    lane: int
    args: bytes | None
    max_attempts: int
    delay: float | None = None
    run_at: datetime | None = None
    expires: float | None = None
    expires_at: datetime | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    payload: str | None = None


def single_rows(**more: Bind[Any]) -> RowFunction:
    """Single tasks as rows of a statement's values, with ``more`` columns beside theirs."""
    return unnest(
        "rows",
        id=Bind("ids", array(BIGINT)),
        lane_id=Bind("lanes", array(BIGINT)),
        args=Bind("args", array(BYTEA, nullable=True)),
        payload=Bind("payloads", array(JSONB, nullable=True)),
        max_attempts=Bind("max_attempts", array(SMALLINT)),
        delay=Bind("delays", array(DOUBLE, nullable=True)),
        run_at=Bind("run_ats", array(TIMESTAMPTZ, nullable=True)),
        expires=Bind("expires", array(DOUBLE, nullable=True)),
        expires_at=Bind("expires_ats", array(TIMESTAMPTZ, nullable=True)),
        external_id=Bind("external_ids", array(TEXT, nullable=True)),
        metadata=Bind("metadata", array(JSONB, nullable=True)),
        **more,
    )


def insert_singles(rows: RowFunction, source: Callable[[Any], Any] = lambda selected: selected) -> Any:
    """An insert of such rows; ``source`` may narrow which."""
    at_once = rows.delay.is_null() & rows.run_at.is_null()
    selected = select(
        rows.id,
        rows.lane_id,
        case((at_once, lit(Status.NEW)), else_=lit(Status.PENDING)).as_("status"),
        case((at_once, ready_now()), else_=null(BIGINT)).as_("seq"),
        coalesce(rows.run_at, now() + seconds(rows.delay)).as_("run_at"),
        rows.max_attempts,
        coalesce(rows.expires_at, now() + seconds(rows.expires)).as_("expires_at"),
        rows.external_id,
        rows.metadata,
        rows.args,
        rows.payload,
    ).from_(rows)
    return (
        insert(TASK)
        .columns(
            TASK.id,
            TASK.lane_id,
            TASK.status,
            TASK.seq,
            TASK.run_at,
            TASK.max_attempts,
            TASK.expires_at,
            TASK.external_id,
            TASK.metadata,
            TASK.args,
            TASK.payload,
        )
        .select(source(selected))
    )


@template(read=scalar)
def _singles() -> Query[Any]:
    stored = insert_singles(single_rows()).returning(TASK.id, TASK.lane_id, TASK.status).cte("stored")
    counts = counted(stored, after=stored.status)
    return select(stored.id).with_(stored, counts).from_(stored)


def singles(tasks: Sequence[Single]) -> Statement[int]:
    """Store tasks that belong to no batch; their lanes and external ids are there already."""
    return _singles.bind(**single_values(tasks))


def single_values(tasks: Sequence[Single]) -> dict[str, Any]:
    """Tasks as the values that ``single_rows`` takes."""
    return {
        "ids": [task.id for task in tasks],
        "lanes": [task.lane for task in tasks],
        "args": [task.args for task in tasks],
        "payloads": [task.payload for task in tasks],
        "max_attempts": [task.max_attempts for task in tasks],
        "delays": [task.delay for task in tasks],
        "run_ats": [task.run_at for task in tasks],
        "expires": [task.expires for task in tasks],
        "expires_ats": [task.expires_at for task in tasks],
        "external_ids": [task.external_id for task in tasks],
        "metadata": [None if task.metadata is None else dict(task.metadata) for task in tasks],
    }


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
        .where(EXTERNAL_ID.type == Bind("type", TEXT), EXTERNAL_ID.external_id == Bind("external_id", TEXT))
    )


def holder(type: str, external_id: str) -> Statement[int]:
    """The task that has an external id."""
    return _holder.bind(type=type, external_id=external_id)


@template(read=scalar)
def _take_external_ids() -> Query[Any]:
    wanted = (
        select(Bind("type", TEXT).as_("type"), present(TASK.external_id).as_("external_id"), TASK.id)
        .from_(TASK)
        .where(TASK.id >= Bind("first", BIGINT), TASK.id <= Bind("last", BIGINT), TASK.external_id.is_not_null())
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
    """Take the external ids of the tasks of a range. Gives those that got theirs."""
    return _take_external_ids.bind(type=type, first=first, last=last)


@template(read=tuple)
def _follow() -> Query[Any]:
    in_range = (TASK.id >= Bind("first", BIGINT)) & (TASK.id <= Bind("last", BIGINT))
    duplicate = (
        select(TASK.id, TASK.status.as_("before"), EXTERNAL_ID.task_id)
        .from_(TASK)
        .join(
            EXTERNAL_ID,
            (EXTERNAL_ID.type == Bind("type", TEXT)) & (EXTERNAL_ID.external_id == present(TASK.external_id)),
        )
        .where(in_range, EXTERNAL_ID.task_id != TASK.id)
        .cte("duplicate", materialized=True)
    )
    followers = (
        update(TASK)
        .set(TASK.status, lit(Status.PENDING))
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
        .select(select(present(followers.same_as).as_("input_id"), followers.id).from_(followers))
        .returning(DEPENDENCY.input_id)
        .cte("edges")
    )
    counts = counted(followers, before=followers.before, after=followers.after)
    return select(followers.id, followers.same_as).with_(duplicate, followers, edges, counts).from_(followers)


def follow(type: str, first: int, last: int) -> Statement[tuple[int, int]]:
    """Let the tasks of a range whose external id another task has share that one's outcome. Gives (task, other)."""
    return _follow.bind(type=type, first=first, last=last)


@template(read=scalar)
def _wake() -> Query[Any]:
    return select(pg_notify(Bind("channel", TEXT), Bind("payload", TEXT)))


def wake(channel: str, payload: str) -> Statement[Any]:
    """Notify whoever listens."""
    return _wake.bind(channel=channel, payload=payload)


@template(read=scalar)
def _setting() -> Query[Any]:
    return select(SETTING.value).from_(SETTING).where(SETTING.name == Bind("name", TEXT))


def setting(name: str) -> Statement[Any]:
    """A fact about this database; no row when it was never set."""
    return _setting.bind(name=name)


@template(read=scalar)
def _set() -> Query[Any]:
    return (
        insert(SETTING)
        .columns(SETTING.name, SETTING.value)
        .values(Bind("name", TEXT), Bind("value", JSONB))
        .on_conflict(SETTING.name)
        .do_update(SETTING.value.to(excluded(SETTING).value))
        .returning(SETTING.name)
    )


def set_setting(name: str, value: Mapping[str, Any]) -> Statement[str]:
    """Set a fact about this database."""
    return _set.bind(name=name, value=dict(value))

"""What the server tells of itself and of our tables, for a diagnosis. Not for: judging it (``observe.findings``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from goque.sql import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    TEXT,
    Bind,
    Condition,
    Query,
    Statement,
    array,
    clock_timestamp,
    coalesce,
    count,
    epoch,
    function,
    greatest,
    lit,
    now,
    null,
    present,
    seconds,
    select,
    subquery,
    template,
)
from goque.sql.catalog import (
    NAME,
    PG_ACTIVITY,
    PG_CLASS,
    PG_INDEXES,
    PG_NAMESPACE,
    PG_PREPARED,
    PG_SETTINGS,
    PG_TABLES,
)
from goque.sql.functions import any_of, optional
from goque.sql.tables import WORKER


class Server(NamedTuple):
    """The server's clock, our role there, and how many sessions there are."""

    now: datetime
    role: str
    sees_all: bool
    """Whether the role is told what other roles' sessions do."""
    sessions: int


@template(read=Server._make)
def _server() -> Query[Any]:
    clients = PG_ACTIVITY.backend_type == Bind("client", TEXT)
    return select(
        clock_timestamp().as_("now"),
        function("getpgusername", NAME).cast(TEXT).as_("role"),
        function("pg_has_role", BOOLEAN, Bind("statistics", TEXT), Bind("usage", TEXT)).as_("sees_all"),
        present(subquery(select(count()).from_(PG_ACTIVITY).where(clients))).as_("sessions"),
    )


def server() -> Statement[Server]:
    """The server as this session sees it."""
    return _server.bind(client="client backend", statistics="pg_read_all_stats", usage="usage")


@template(read=tuple)
def _settings() -> Query[Any]:
    found = PG_SETTINGS.name == any_of(Bind("names", array(TEXT)))
    return select(PG_SETTINGS.name, PG_SETTINGS.setting).from_(PG_SETTINGS).where(found)


def settings(names: Sequence[str]) -> Statement[tuple[str, str]]:
    """These settings, as far as the server knows them."""
    return _settings.bind(names=list(names))


class Pin(NamedTuple):
    """A transaction that keeps dead rows from being removed; ``pid`` is None for a prepared one."""

    pid: int | None
    who: str
    application: str
    state: str
    age_s: float
    """Seconds since it began."""
    transactions: int
    """How many transactions have begun since."""


@template(read=Pin._make)
def _pins() -> Query[Any]:
    here = PG_ACTIVITY.datname == function("current_database", NAME)
    # A standby's feedback comes through its sender, which belongs to no database.
    elsewhere = PG_ACTIVITY.backend_type == Bind("sender", TEXT)

    sessions = (
        select(
            optional(PG_ACTIVITY.pid),
            coalesce(PG_ACTIVITY.usename.cast(TEXT), Bind("unknown", TEXT)).as_("who"),
            coalesce(PG_ACTIVITY.application_name, Bind("unknown", TEXT)).as_("application"),
            coalesce(PG_ACTIVITY.state, Bind("unknown", TEXT)).as_("state"),
            coalesce(epoch(now() - PG_ACTIVITY.xact_start), lit(0).cast(DOUBLE)).as_("age_s"),
            function("age", INTEGER, PG_ACTIVITY.backend_xmin).as_("transactions"),
        )
        .from_(PG_ACTIVITY)
        .where(
            PG_ACTIVITY.backend_xmin.is_not_null(),
            here | elsewhere,
            PG_ACTIVITY.pid != function("pg_backend_pid", INTEGER),
        )
    )
    prepared = (
        select(
            null(INTEGER).as_("pid"),
            PG_PREPARED.owner.cast(TEXT).as_("who"),
            PG_PREPARED.gid.as_("application"),
            Bind("prepared", TEXT).as_("state"),
            epoch(now() - PG_PREPARED.prepared).as_("age_s"),
            function("age", INTEGER, PG_PREPARED.transaction).as_("transactions"),
        )
        .from_(PG_PREPARED)
        .where(PG_PREPARED.database == function("current_database", NAME))
    )
    return sessions.union_all(prepared)


def pins() -> Statement[Pin]:
    """The transactions that hold a snapshot, or that are prepared, in this database."""
    return _pins.bind(sender="walsender", unknown="unknown", prepared="prepared transaction")


class TableState(NamedTuple):
    """A table of ours: its rows, as PostgreSQL counts them, its size in bytes, and what our role may do with it."""

    name: str
    live: int
    dead: int
    vacuumed_s: float | None
    """Seconds since it was last vacuumed; None: not since its statistics began."""
    bytes: int
    options: list[str] | None
    may_select: bool
    may_insert: bool
    may_update: bool


@template(read=TableState._make)
def _tables() -> Query[Any]:
    def may(what: str) -> Condition:
        return function("has_any_column_privilege", BOOLEAN, PG_CLASS.oid, Bind(what, TEXT)).as_(f"may_{what}")

    vacuumed = greatest(PG_TABLES.last_vacuum, PG_TABLES.last_autovacuum)
    return (
        select(
            PG_TABLES.relname.cast(TEXT).as_("name"),
            PG_TABLES.n_live_tup,
            PG_TABLES.n_dead_tup,
            epoch(now() - vacuumed).as_("vacuumed_s"),
            function("pg_table_size", BIGINT, PG_CLASS.oid).as_("bytes"),
            PG_CLASS.reloptions,
            may("select"),
            may("insert"),
            may("update"),
        )
        .from_(PG_TABLES)
        .join(PG_CLASS, PG_CLASS.oid == PG_TABLES.relid)
        .where(PG_TABLES.schemaname.cast(TEXT) == Bind("schema", TEXT))
        .order_by(PG_TABLES.relname)
    )


def tables(schema: str) -> Statement[TableState]:
    """The tables of a schema, by name."""
    return _tables.bind(schema=schema, select="SELECT", insert="INSERT", update="UPDATE")


class IndexState(NamedTuple):
    """An index of ours, its size in bytes, and how many entries it had when that was last counted."""

    name: str
    table: str
    bytes: int
    entries: float


@template(read=IndexState._make)
def _indexes() -> Query[Any]:
    return (
        select(
            PG_INDEXES.indexrelname.cast(TEXT).as_("name"),
            PG_INDEXES.relname.cast(TEXT).as_("table_name"),
            function("pg_relation_size", BIGINT, PG_CLASS.oid).as_("bytes"),
            PG_CLASS.reltuples.cast(DOUBLE).as_("entries"),
        )
        .from_(PG_INDEXES)
        .join(PG_CLASS, PG_CLASS.oid == PG_INDEXES.indexrelid)
        .where(PG_INDEXES.schemaname.cast(TEXT) == Bind("schema", TEXT))
        .order_by(PG_INDEXES.indexrelname)
    )


def indexes(schema: str) -> Statement[IndexState]:
    """The indexes of a schema, by name."""
    return _indexes.bind(schema=schema)


@template(read=tuple)
def _usable() -> Query[Any]:
    usage = function("has_schema_privilege", BOOLEAN, PG_NAMESPACE.oid, Bind("usage", TEXT)).as_("usage")
    return select(usage).from_(PG_NAMESPACE).where(PG_NAMESPACE.nspname.cast(TEXT) == Bind("schema", TEXT))


def usable(schema: str) -> Statement[tuple[bool]]:
    """Whether our role may name things in a schema; no row where there is no such schema."""
    return _usable.bind(schema=schema, usage="USAGE")


class WorkerState(NamedTuple):
    """A worker that is alive, or was lost lately."""

    id: int
    host: str
    pid: int
    version: str
    python: str
    key_ids: list[str]
    missed: int
    """Looks in a row at which it was missing."""
    beat_s: float
    """Seconds since its last heartbeat."""
    lost: bool


@template(read=WorkerState._make)
def _workers() -> Query[Any]:
    lately = WORKER.lost_at > now() - seconds(Bind("lately", DOUBLE))
    return (
        select(
            WORKER.id,
            WORKER.host,
            WORKER.pid,
            WORKER.version,
            WORKER.python,
            WORKER.key_ids,
            WORKER.missed,
            epoch(now() - WORKER.beat_at).as_("beat_s"),
            WORKER.lost_at.is_not_null().as_("lost"),
        )
        .from_(WORKER)
        .where(WORKER.ended_at.is_null(), WORKER.lost_at.is_null() | lately)
        .order_by(WORKER.id)
    )


def workers(lately_s: float) -> Statement[WorkerState]:
    """Workers that are alive, or were lost within so many seconds."""
    return _workers.bind(lately=lately_s)

"""What PostgreSQL tells of itself, declared as far as it is asked. Not for: goque's own tables (``sql.tables``).

A test holds the declarations against every version that the tests run on. Names are of the type ``name``, which a query
casts to text, as the client knows it.
"""

from __future__ import annotations

from typing import Any

from pypika.queries import Table as PyPikaTable

from goque.sql.columns import Column, Table
from goque.sql.types import BIGINT, INTEGER, OID, TEXT, TIMESTAMPTZ, SqlType, array

XID: SqlType[Any] = SqlType("xid", "a transaction", "xid", lambda _: False)
REAL: SqlType[float] = SqlType("real", "float", "number", lambda value: isinstance(value, float))
NAME: SqlType[str] = SqlType("name", "str", "text", lambda value: isinstance(value, str))


class CatalogTable(Table):
    """A table or view of ``pg_catalog``."""

    def _pypika(self) -> Any:
        return PyPikaTable(self._table, schema="pg_catalog", alias=self._alias)


class ActivityView(CatalogTable):
    """The server's sessions. Of other roles' sessions an ordinary role sees little."""

    pid = Column(INTEGER)
    datname = Column(NAME, nullable=True)
    usename = Column(NAME, nullable=True)
    application_name = Column(TEXT, nullable=True)
    state = Column(TEXT, nullable=True)
    xact_start = Column(TIMESTAMPTZ, nullable=True)
    backend_xmin = Column(XID, nullable=True)
    backend_type = Column(TEXT, nullable=True)


class LocksView(CatalogTable):
    """The locks that transactions hold or wait for; of advisory ones the two numbers."""

    locktype = Column(TEXT, nullable=True)
    classid = Column(OID, nullable=True)
    objid = Column(OID, nullable=True)
    pid = Column(INTEGER)


class PreparedView(CatalogTable):
    """Transactions that were prepared and neither committed nor rolled back."""

    transaction = Column(XID)
    gid = Column(TEXT)
    prepared = Column(TIMESTAMPTZ)
    owner = Column(NAME)
    database = Column(NAME)


class SettingsView(CatalogTable):
    """The settings in force in this session."""

    name = Column(TEXT)
    setting = Column(TEXT, nullable=True)


class ClassTable(CatalogTable):
    """Tables, indexes and the like."""

    oid = Column(OID)
    reltuples = Column(REAL)
    reloptions = Column(array(TEXT), nullable=True)


class NamespaceTable(CatalogTable):
    """Schemas."""

    oid = Column(OID)
    nspname = Column(NAME)


class TableStatisticsView(CatalogTable):
    """What was done to tables, as counted since the last reset."""

    relid = Column(OID)
    schemaname = Column(NAME)
    relname = Column(NAME)
    n_live_tup = Column(BIGINT)
    n_dead_tup = Column(BIGINT)
    last_vacuum = Column(TIMESTAMPTZ, nullable=True)
    last_autovacuum = Column(TIMESTAMPTZ, nullable=True)


class IndexStatisticsView(CatalogTable):
    """Which index belongs to which table."""

    indexrelid = Column(OID)
    schemaname = Column(NAME)
    relname = Column(NAME)
    indexrelname = Column(NAME)


PG_ACTIVITY = ActivityView("pg_stat_activity")
PG_LOCKS = LocksView("pg_locks")
PG_PREPARED = PreparedView("pg_prepared_xacts")
PG_SETTINGS = SettingsView("pg_settings")
PG_CLASS = ClassTable("pg_class")
PG_NAMESPACE = NamespaceTable("pg_namespace")
PG_TABLES = TableStatisticsView("pg_stat_user_tables")
PG_INDEXES = IndexStatisticsView("pg_stat_user_indexes")

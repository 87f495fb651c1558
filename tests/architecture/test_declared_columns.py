"""What the typed layer declares is what the migrations make: names, order, types, and for tables nullability."""

from __future__ import annotations

from typing import Any

import pytest

from goque.postgres.database import Database
from goque.sql import catalog as catalog_tables
from goque.sql import columns_of, statement_of, tables, views
from goque.sql.columns import Table
from goque.sql.statement import Statement

_CATALOG = """
    SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull
    FROM pg_catalog.pg_attribute
    WHERE attrelid = %(name)s::regclass AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
"""
_MADE_BY_MIGRATING = {"migration"}
_SYSTEM_COLUMNS = {"ctid"}


def declared_in(module: Any) -> list[Table]:
    return [value for value in vars(module).values() if isinstance(value, Table)]


def catalog(database: Database, table: Table, schema: str = "goque") -> list[tuple[str, str, bool]]:
    rows = database.all(Statement(_CATALOG, {"name": f"{schema}.{table._table}"}, tuple, "catalog"))
    return [(name, kind.replace("timestamp with time zone", "timestamptz"), nullable) for name, kind, nullable in rows]


def declared(table: Table) -> list[tuple[str, str, bool]]:
    columns = [column for column in columns_of(table) if column.name not in _SYSTEM_COLUMNS]
    return [(column.name, column.sql_type.name, column.nullable) for column in columns]


@pytest.mark.parametrize("table", declared_in(tables), ids=lambda table: table._table)
def test_a_table_is_declared_as_it_is(database: Database, table: Table) -> None:
    assert declared(table) == catalog(database, table)


@pytest.mark.parametrize("view", declared_in(views), ids=lambda view: view._table)
def test_a_view_is_declared_as_it_is(database: Database, view: Table) -> None:
    # The catalog knows no nullability of views.
    assert [column[:2] for column in declared(view)] == [column[:2] for column in catalog(database, view)]


@pytest.mark.parametrize("table", declared_in(catalog_tables), ids=lambda table: table._table)
def test_what_is_asked_of_postgresql_is_there(database: Database, table: Table) -> None:
    there = {column[:2] for column in catalog(database, table, schema="pg_catalog")}
    assert {column[:2] for column in declared(table)} <= there


@pytest.mark.parametrize(("kind", "module"), [("r", tables), ("v", views)])
def test_nothing_in_the_schema_is_undeclared(database: Database, kind: str, module: Any) -> None:
    text = "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = 'goque'::regnamespace AND relkind = %(kind)s"
    found = {name for (name,) in database.all(Statement(text, {"kind": kind}, tuple, "relations"))}
    assert found - _MADE_BY_MIGRATING == {table._table for table in declared_in(module)}


def test_views_can_be_read_through_their_declarations(database: Database) -> None:
    from goque.sql import count, select

    for view in declared_in(views):
        assert database.one(statement_of(select(count()).from_(view))) == (0,)

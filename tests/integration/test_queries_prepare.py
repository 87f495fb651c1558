"""PostgreSQL accepts every query of the package and infers the types that are declared for values and columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from goque.sql import Template
from tests.golden import numbered, package_templates

# An enum's column may be varchar or text: both are text to the client.
_SAME = {"timestamp with time zone": "timestamptz", "character varying": "text", "regclass": "oid"}


@pytest.fixture(scope="module")
def connection(server_dsn: str, template_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(make_conninfo(server_dsn, dbname=template_database), autocommit=True) as connected:
        connected.execute("set search_path = ''")  # every name in a query says its schema
        yield connected


@pytest.mark.parametrize("template", package_templates(), ids=lambda template: template.name)
def test_a_query_is_prepared_with_the_declared_types(
    connection: psycopg.Connection[Any], template: Template[Any]
) -> None:
    text, names = numbered(template.text)
    assert set(template.parameters) <= set(names)

    prepared = connection.pgconn.prepare(template.name.encode(), text.encode())
    assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, prepared.error_message.decode()
    described = connection.pgconn.describe_prepared(template.name.encode())
    takes = [type_name(connection, described.param_type(n)) for n in range(described.nparams)]
    gives = [
        ((described.fname(n) or b"").decode(), type_name(connection, described.ftype(n)))
        for n in range(described.nfields)
    ]

    inferred = dict(zip(names, takes, strict=True))
    assert {name: inferred[name] for name in template.parameters} == {
        name: sql_type.name for name, sql_type in template.parameters.items()
    }
    assert [kind for _, kind in gives] == [sql_type.name for _, sql_type, _ in template.columns]
    assert [name for name, _ in gives] == [name for name, _, _ in template.columns]


def type_name(connection: psycopg.Connection[Any], oid: int) -> str:
    row = connection.execute("select format_type(%s, null)", [oid]).fetchone()
    assert row is not None
    name, brackets, _ = str(row[0]).partition("[]")
    return _SAME.get(name, name) + brackets

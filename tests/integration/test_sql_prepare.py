"""PostgreSQL accepts the golden shapes of query, and infers the types that the typed layer declares for them.

Not for: the text itself (``tests/unit/test_sql_shapes.py``), or the queries of the queue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

GOLDEN = sorted((Path(__file__).parents[1] / "unit" / "golden").glob("*.sql"))
TABLES = """
    create schema goque;
    create sequence goque.task_id;
    create table goque.task(id bigint primary key, lane_id bigint, seq bigint, status text, type text, run integer,
        attempts smallint, worker_id bigint, run_at timestamptz, claimed_at timestamptz, finished_at timestamptz,
        args bytea, result bytea, metadata jsonb, run_s double precision);
    create unique index on goque.task(lane_id, type) where status in ('new', 'done');
    create table goque.lane(id bigint primary key, queue text, priority integer, paused boolean);
    create table goque.batch_delta(batch_id bigint, new bigint, done bigint);
    create table goque.worker(id bigint primary key, host text, missed integer, tags text[]);
"""


@pytest.fixture(scope="module")
def connection(server_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server_dsn) as connected:
        connected.execute(TABLES)
        yield connected
        connected.rollback()


def numbered(text: str) -> tuple[str, list[str]]:
    """The text with ``$1``, ``$2`` in place of names, and the names in that order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return re.sub(r"%\((\w+)\)s", number, text), names


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_shape_is_prepared_with_the_declared_types(connection: psycopg.Connection[Any], path: Path) -> None:
    header, gives, text = path.read_text().split("\n", 2)
    declared = dict(pair.split(" ", 1) for pair in header.removeprefix("-- takes ").split(", ") if pair)
    numbered_text, names = numbered(text)

    prepared = connection.pgconn.prepare(path.stem.encode(), numbered_text.encode())
    assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, prepared.error_message.decode()
    described = connection.pgconn.describe_prepared(path.stem.encode())

    inferred = dict(
        zip(names, (type_name(connection, described.param_type(n)) for n in range(described.nparams)), strict=True)
    )
    assert {name: inferred[name] for name in declared} == declared
    columns = [
        f"{(described.fname(n) or b'').decode()} {type_name(connection, described.ftype(n))}"
        for n in range(described.nfields)
    ]
    assert ", ".join(columns) == gives.removeprefix("-- gives ")


def type_name(connection: psycopg.Connection[Any], oid: int) -> str:
    row = connection.execute("select format_type(%s, null)", [oid]).fetchone()
    assert row is not None
    return str(row[0]).replace("timestamp with time zone", "timestamptz")

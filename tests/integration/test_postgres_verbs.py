"""The verbs: what they return, what they commit, how values travel, what their errors are."""

from __future__ import annotations

import csv
import io
import traceback
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import psycopg
import pytest

from goque.errors import DatabaseError, DatabaseUnavailable, InvalidInput, MigrationNeeded, ReadOnly
from goque.postgres.database import Database
from tests.integration.conftest import MakeStatement


class Colour(StrEnum):
    RED = "red"


def test_run_tells_how_many_rows_changed(numbers: Database, statement: MakeStatement) -> None:
    insert = statement('INSERT INTO "goque".number SELECT generate_series(1, %(most)s::bigint)', most=5)
    assert numbers.run(insert) == 5
    assert numbers.run(statement('DELETE FROM "goque".number WHERE n > 3')) == 2


def test_one_first_and_all_read_rows(shared: Database, statement: MakeStatement) -> None:
    assert shared.one(statement("SELECT 7")) == 7
    assert shared.first(statement("SELECT 7 WHERE false")) is None
    assert shared.first(statement("SELECT generate_series(1, 3)")) == 1
    assert shared.all(statement("SELECT generate_series(1, 3), 'x'", read=tuple)) == [(1, "x"), (2, "x"), (3, "x")]


@pytest.mark.parametrize("count", [0, 2])
def test_one_refuses_any_other_number_of_rows(shared: Database, statement: MakeStatement, count: int) -> None:
    with pytest.raises(DatabaseError, match=f"{count} rows"):
        shared.one(statement("SELECT generate_series(1, %(count)s::bigint)", count=count))


@pytest.mark.parametrize(
    ("value", "wire_type"),
    [
        (1, "bigint"),
        (2**40, "bigint"),
        ({"a": [1, None]}, "jsonb"),
        (timedelta(days=1, seconds=2), "interval"),
        (datetime(2026, 1, 2, tzinfo=UTC), "timestamp with time zone"),
        (b"\x00\xff", "bytea"),
        (1.5, "double precision"),
        ([1, 2**40], "bigint[]"),
        ([1, None, 3], "bigint[]"),
        ([None, 1], "bigint[]"),
        ([b"\x00", b"", None], "bytea[]"),
        (["a", None, ""], "text[]"),
        ([1.5, None], "double precision[]"),
        ([True, False], "boolean[]"),
        ([timedelta(seconds=1)], "interval[]"),
        ([{"a": 1}], "jsonb[]"),
    ],
)
def test_a_value_has_one_wire_type_and_comes_back(
    shared: Database, statement: MakeStatement, value: object, wire_type: str
) -> None:
    query = statement("SELECT pg_typeof(%(value)s)::text, %(value)s", read=tuple, value=value)
    assert shared.one(query) == (wire_type, value)


@pytest.mark.parametrize("value", [[], [1] * 5000, list(range(-3, 3))])
def test_int_lists_of_any_length_travel(shared: Database, statement: MakeStatement, value: list[int]) -> None:
    assert shared.one(statement("SELECT %(value)s::bigint[]", value=value)) == value


def test_a_tuple_is_an_array_too(shared: Database, statement: MakeStatement) -> None:
    query = statement("SELECT %(ints)s::bigint[], %(texts)s::text[]", read=tuple, ints=(1, 2), texts=("a", Colour.RED))
    assert shared.one(query) == ([1, 2], ["a", "red"])
    assert shared.one(statement("SELECT %(none)s::text[]", none=())) == []


def test_enum_members_travel_as_their_text(shared: Database, statement: MakeStatement) -> None:
    query = statement("SELECT %(one)s::text, %(many)s::text[]", read=tuple, one=Colour.RED, many=[Colour.RED])
    assert shared.one(query) == ("red", ["red"])


def test_moments_come_back_in_utc(shared: Database, statement: MakeStatement) -> None:
    moment = shared.one(statement("SELECT timestamptz '2026-01-01 00:00+02'"))
    assert moment == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert moment.utcoffset() == timedelta(0)


def test_the_schema_of_the_database_replaces_the_default(dsn: str, statement: MakeStatement) -> None:
    database = Database(dsn, schema="my queue")
    database.run(statement('CREATE SCHEMA "my queue"'))
    database.run(statement('CREATE TABLE "goque".thing AS SELECT 1 AS n'))
    assert database.one(statement('SELECT n FROM "my queue".thing')) == 1
    database.close()


def test_a_pipeline_commits_all_and_keeps_the_order(numbers: Database, statement: MakeStatement, dsn: str) -> None:
    insert = 'INSERT INTO "goque".number VALUES (%(n)s) RETURNING n'
    results = numbers.pipeline(
        [statement(insert, n=1), statement('DELETE FROM "goque".number WHERE n = 9'), statement(insert, n=2)]
    )
    assert results == [[1], [], [2]]
    with psycopg.connect(dsn) as other:
        assert other.execute("SELECT count(*) FROM goque.number").fetchone() == (2,)


def test_a_pipeline_is_one_transaction(numbers: Database, statement: MakeStatement) -> None:
    insert = 'INSERT INTO "goque".number VALUES (%(n)s)'
    identity = "SELECT pg_current_xact_id()::text"
    [[first], _, [second]] = numbers.pipeline([statement(identity), statement(insert, n=1), statement(identity)])
    assert first == second
    with pytest.raises(DatabaseError) as caught:
        numbers.pipeline([statement(insert, n=2), statement(insert, n=1), statement(insert, n=3)])
    assert caught.value.sqlstate == "23505"
    assert numbers.all(statement('SELECT n FROM "goque".number')) == [1]


def test_a_transaction_commits_or_leaves_nothing(numbers: Database, statement: MakeStatement) -> None:
    insert = 'INSERT INTO "goque".number VALUES (%(n)s)'
    with pytest.raises(ZeroDivisionError), numbers.transaction() as transaction:
        transaction.run(statement(insert, n=1))
        raise ZeroDivisionError
    with numbers.transaction() as transaction:
        transaction.run(statement(insert, n=2))
        with pytest.raises(ZeroDivisionError), transaction.transaction() as savepoint:
            savepoint.run(statement(insert, n=3))
            raise ZeroDivisionError
        transaction.pipeline([statement(insert, n=4), statement(insert, n=5)])
    assert numbers.all(statement('SELECT n FROM "goque".number ORDER BY n')) == [2, 4, 5]


def test_a_stream_reads_in_chunks_and_frees_its_connection_when_closed(dsn: str, statement: MakeStatement) -> None:
    database = Database(dsn, max_connections=1)
    query = statement("SELECT generate_series(1, 1000000000)")
    rows = database.stream(query, chunk=10)
    assert [next(rows) for _ in range(25)] == list(range(1, 26))
    rows.close()
    assert database.one(statement("SELECT 1")) == 1
    assert sum(database.stream(statement("SELECT generate_series(1, 5)"), chunk=2)) == 15
    database.close()


def test_copy_in_stores_typed_rows(numbers: Database, statement: MakeStatement) -> None:
    with numbers.transaction() as transaction:
        rows = ((n, None if n % 2 else f"note {n}") for n in range(1000))
        assert transaction.copy_in("number", ["n", "note"], ["int8", "text"], rows) == 1000
    assert numbers.one(statement('SELECT sum(n)::bigint, count(note) FROM "goque".number', read=tuple)) == (499500, 500)


def test_copy_in_into_a_temporary_table(shared: Database, statement: MakeStatement) -> None:
    with shared.transaction() as transaction:
        transaction.run(statement("CREATE TEMPORARY TABLE incoming (n bigint, j jsonb, t interval) ON COMMIT DROP"))
        row = (1, {"a": 1}, timedelta(seconds=3))
        transaction.copy_in("pg_temp.incoming", ["n", "j", "t"], ["int8", "jsonb", "interval"], [row])
        assert transaction.one(statement("SELECT * FROM pg_temp.incoming", read=tuple)) == row


def test_copy_in_passes_on_what_the_rows_raise_and_stores_nothing(numbers: Database, statement: MakeStatement) -> None:
    def rows() -> Any:
        yield (1, "a")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"), numbers.transaction() as transaction:
        transaction.copy_in("number", ["n", "note"], ["int8", "text"], rows())
    assert numbers.all(statement('SELECT n FROM "goque".number')) == []


def test_copy_in_raw_takes_encoded_rows_in_any_chunks(numbers: Database, statement: MakeStatement) -> None:
    row = (2).to_bytes(2, "big") + (8).to_bytes(4, "big") + (42).to_bytes(8, "big") + (1).to_bytes(4, "big") + b"x"
    encoded = b"PGCOPY\n\xff\r\n\0" + bytes(8) + row + b"\xff\xff"
    with numbers.transaction() as transaction:
        assert transaction.copy_in_raw("number", ["n", "note"], [encoded[:15], encoded[15:]]) == 1
    assert numbers.one(statement('SELECT n, note FROM "goque".number', read=tuple)) == (42, "x")


def test_csv_tells_null_from_empty_and_quotes_values(shared: Database, statement: MakeStatement) -> None:
    awkward = 'it\'s \\ 100% "quoted"\n{}; --'
    query = statement(
        "SELECT %(text)s::text AS a, NULL AS b, '' AS c, %(n)s::bigint AS n, timestamptz '2026-01-01 01:00+01' AS t",
        text=awkward,
        n=7,
    )
    text = b"".join(shared.copy_out_csv(query, header=True)).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "b", "c", "n", "t"],
        [awkward, "", "", "7", "2026-01-01 00:00:00+00"],
    ]
    assert ',,"",7,' in text


def test_csv_comes_in_blocks(shared: Database, statement: MakeStatement) -> None:
    query = statement("SELECT repeat('x', 999) FROM generate_series(1, 1000)")
    blocks = list(shared.copy_out_csv(query))
    assert sum(map(len, blocks)) == 1_000_000
    assert 10 < len(blocks) < 20


def test_many_rows_are_sorted_in_memory_and_the_session_goes_back_to_little(
    shared: Database, statement: MakeStatement
) -> None:
    query = statement("SELECT current_setting('work_mem')")
    assert b"".join(shared.copy_out_csv(query)) == b"64MB\n"
    assert shared.one(query) == "4MB"


def test_a_missing_table_of_the_schema_asks_for_migration(database: Database, statement: MakeStatement) -> None:
    with pytest.raises(MigrationNeeded, match="goque migrate"):
        database.all(statement('SELECT * FROM "goque".no_such_table'))
    other = Database(database.dsn, schema="absent")
    with pytest.raises(MigrationNeeded, match="goque migrate --schema absent"):
        other.run(statement('INSERT INTO "goque".task VALUES (1)'))
    with pytest.raises(DatabaseError) as caught:
        database.all(statement("SELECT * FROM no_such_table"))
    assert not isinstance(caught.value, MigrationNeeded)
    assert caught.value.sqlstate == "42P01"
    other.close()


def test_an_error_does_not_repeat_the_values(numbers: Database, statement: MakeStatement) -> None:
    insert = statement('INSERT INTO "goque".number VALUES (%(n)s)', n=987654321)
    numbers.run(insert)
    with pytest.raises(DatabaseError) as caught:
        numbers.run(insert)
    assert "987654321" not in "".join(traceback.format_exception(caught.value))
    assert numbers.one(statement("SELECT 1")) == 1


def test_read_only_changes_nothing(numbers: Database, statement: MakeStatement) -> None:
    reader = Database(numbers.dsn, read_only=True)
    assert reader.all(statement('SELECT n FROM "goque".number')) == []
    with pytest.raises(ReadOnly):
        reader.run(statement('INSERT INTO "goque".number VALUES (1)'))
    reader.close()


def test_nobody_there_is_unavailable_and_names_the_place_without_the_password() -> None:
    database = Database("postgresql://me:topsecret@127.0.0.1:1/db")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/db") as caught, database.transaction():
        pass
    assert "topsecret" not in str(caught.value) + repr(database)


def test_a_missing_database_is_not_worth_a_retry(dsn: str, statement: MakeStatement) -> None:
    database = Database(psycopg.conninfo.make_conninfo(dsn, dbname="no_such_database"))
    with pytest.raises(DatabaseError) as caught:
        database.one(statement("SELECT 1"))
    assert not isinstance(caught.value, DatabaseUnavailable)
    assert caught.value.sqlstate == "3D000"


@pytest.mark.parametrize("arguments", [{"schema": ""}, {"schema": "a%b"}, {"max_connections": 0}])
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Database("postgresql:///db", **arguments)
    with pytest.raises(InvalidInput):
        Database("postgresql://me:secret@[bad")


def test_an_option_that_cannot_work_is_not_worth_a_retry(dsn: str, statement: MakeStatement) -> None:
    database = Database(f"{dsn} sslmode=bogus")
    with pytest.raises(DatabaseError, match="sslmode") as caught:
        database.one(statement("SELECT 1"))
    assert not isinstance(caught.value, DatabaseUnavailable)


def test_the_verbs_work_in_the_callers_transaction(numbers: Database, statement: MakeStatement) -> None:
    insert = 'INSERT INTO "goque".number VALUES (%(n)s, %(note)s)'
    with psycopg.connect(numbers.dsn, row_factory=psycopg.rows.dict_row) as connection:
        theirs = numbers.adopt(connection)
        theirs.run(statement(insert, n=1, note=Colour.RED))
        with pytest.raises(DatabaseError), theirs.transaction() as savepoint:
            savepoint.run(statement(insert, n=1, note="again"))
        assert theirs.all(statement('SELECT n, note FROM "goque".number', read=tuple)) == [(1, "red")]
        assert theirs.pipeline([statement("SELECT %(a)s", a=[1, 2])]) == [[[1, 2]]]
        assert numbers.all(statement('SELECT n FROM "goque".number')) == []
        connection.rollback()
    assert numbers.all(statement('SELECT n FROM "goque".number')) == []
    with pytest.raises(InvalidInput, match="psycopg 3"):
        numbers.adopt(object())

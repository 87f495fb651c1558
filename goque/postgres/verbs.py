"""The few verbs by which statements run: on a pool, on one connection, or inside a transaction. Not for: connecting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus
from psycopg.rows import tuple_row

from goque.errors import DatabaseError
from goque.postgres.connections import Connection, Profile
from goque.postgres.failures import translated
from goque.sql.statement import Statement, qualify

_Row = TypeVar("_Row")
_Cursor = psycopg.Cursor[tuple[Any, ...]]

_CSV_BLOCK = 1 << 16
_LONG = {"statement_timeout": "2h", "idle_in_transaction_session_timeout": "10min"}
_SORTED_IN = "64MB"
"""Memory for each sort of many rows: in the 4 MB that servers have by default, history takes a tenth longer."""
_cursor_numbers = count(1)


class Verbs(ABC):
    """What can be done with a statement. Every verb is one transaction, except inside ``transaction()``."""

    def __init__(self, profile: Profile, *, prepare: bool | None = None) -> None:
        self._profile = profile
        self._prepare = prepare if not profile.pooler else False
        self._settings = profile.transaction_settings()
        self._mark: Statement[Any] | None = None

    @abstractmethod
    def _connection(self) -> AbstractContextManager[Connection]:
        """The connection to use for a block."""

    @property
    def schema(self) -> str:
        """The schema that the statements are run against."""
        return self._profile.schema

    def run(self, statement: Statement[Any]) -> int:
        """Execute; the number of rows changed, or returned by a SELECT."""
        return self._fetched(statement)[1]

    def one(self, statement: Statement[_Row]) -> _Row:
        """The only row; any other number of rows is a ``DatabaseError``."""
        rows = self.all(statement)
        if len(rows) != 1:
            raise DatabaseError(
                f"The statement {statement.name!r} gave {len(rows)} rows where exactly one belongs. "
                "Check that this database holds goque's schema and nothing else wrote to it."
            )
        return rows[0]

    def first(self, statement: Statement[_Row]) -> _Row | None:
        """The first row, or None."""
        rows = self._fetched(statement)[0]
        return statement.read(rows[0]) if rows else None

    def all(self, statement: Statement[_Row]) -> list[_Row]:
        """All rows."""
        read = statement.read
        return [read(row) for row in self._fetched(statement)[0]]

    def seen(self, statement: Statement[_Row]) -> list[_Row]:
        """All rows, wherever this can see them: see ``callers.CallersTransaction``."""
        return self.all(statement)

    def steps(self, statement: Statement[_Row], size: int) -> Iterator[list[_Row]]:
        """A statement that does ``size`` rows at most, run until it has found fewer; the rows of each step."""
        while True:
            rows = self.all(statement)
            yield rows
            if len(rows) < size:
                return

    def drain(self, statement: Statement[_Row], size: int) -> int:
        """The same to the end; the number of rows of all steps."""
        return sum(map(len, self.steps(statement, size)))

    def pipeline(self, statements: Sequence[Statement[Any]]) -> list[list[Any]]:
        """All of them in one round trip and one transaction, committed when this returns; the rows of each, in order.

        If one fails, none has happened, and its error is raised.
        """
        if not statements:
            return []
        if len(statements) == 1 and self._mark is None:
            return [self.all(statements[0])]
        with self._connection() as connection, self._translated(", ".join(one.name for one in statements)):
            with connection.pipeline():
                self._begin(connection, {})
                cursors = [self._execute(connection, statement) for statement in statements]
            rows = [_rows(cursor) for cursor in cursors]
        return [list(map(statement.read, found)) for statement, found in zip(statements, rows, strict=True)]

    def alone(self, statement: Statement[_Row]) -> list[_Row]:
        """All rows of a statement that is sent in one piece, behind a pooler too, where it goes without limits.

        For what must never be left half done by a client that is stopped.
        """
        with self._connection() as connection, self._translated(statement.name):
            rows = _rows(self._execute(connection, statement))
        return list(map(statement.read, rows))

    def notify(self, channel: str, payload: str = "") -> None:
        """Send a notification; inside a transaction it goes out with the commit."""
        with self._connection() as connection, self._translated("notify"):
            self._cursor(connection).execute("SELECT pg_notify(%s, %s)", (channel, payload))

    def stream(self, statement: Statement[_Row], *, chunk: int = 2_000) -> Generator[_Row, None, None]:
        """Rows as they are read, ``chunk`` at a time, from a cursor in the server; memory stays bounded.

        It holds a connection and a snapshot until it is exhausted or closed. A pause of ten minutes ends it.
        """
        with self._connection() as connection, self._translated(statement.name), connection.transaction():
            self._begin(connection, _LONG)
            name = f"goque_{next(_cursor_numbers)}"
            with connection.cursor(name, binary=True, row_factory=tuple_row) as cursor:
                cursor.itersize = chunk
                cursor.execute(self._text(statement), statement.values)
                while rows := cursor.fetchmany(chunk):
                    yield from map(statement.read, rows)

    def copy_out_csv(self, statement: Statement[Any], *, header: bool = False) -> Generator[bytes, None, None]:
        """The rows as CSV in blocks of some 64 KiB: UTF-8, NULL is an empty field and an empty text is ``""``."""
        # COPY takes no parameters: here alone the driver writes the values into the text, quoted for the server.
        text = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER {})")
        with self._connection() as connection, self._translated(statement.name), connection.transaction():
            self._begin(connection, _LONG | {"TimeZone": "UTC", "work_mem": _SORTED_IN})
            bound = psycopg.ClientCursor(connection).mogrify(self._text(statement), statement.values)
            query = text.format(sql.SQL(bound), sql.SQL("true" if header else "false"))
            block = bytearray()
            with connection.cursor().copy(query) as copy:
                for data in copy:
                    block += data
                    if len(block) >= _CSV_BLOCK:
                        yield bytes(block)
                        block.clear()
            if block:
                yield bytes(block)

    @contextmanager
    def transaction(self, doing: str = "a transaction") -> Iterator[Transaction]:
        """The same verbs in one transaction: committed at the end of the block, rolled back if it raises.

        Inside a transaction this is a savepoint. ``doing`` names it in error messages.
        """
        with self._connection() as connection, self._translated(doing), connection.transaction():
            self._begin(connection, {})
            yield Transaction(connection, self._profile, prepare=self._prepare)

    def _fetched(self, statement: Statement[Any]) -> tuple[list[tuple[Any, ...]], int]:
        """The rows of a statement, and how many it changed or returned. Where there are settings, they go along."""
        with self._connection() as connection, self._translated(statement.name):
            if self._settings:
                with connection.pipeline():
                    self._begin(connection, {})
                    cursor = self._execute(connection, statement)
            else:
                cursor = self._execute(connection, statement)
            return _rows(cursor), max(cursor.rowcount, 0)

    def _execute(self, connection: Connection, statement: Statement[Any]) -> _Cursor:
        return self._cursor(connection).execute(self._text(statement), statement.values, prepare=self._prepare)

    def _cursor(self, connection: Connection) -> _Cursor:
        return connection.cursor(binary=True)

    def _begin(self, connection: Connection, more: dict[str, str]) -> None:
        """Give the current transaction its settings and its mark; they end with it."""
        settings = self._settings | more
        if settings:
            calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
            values = [part for setting in settings.items() for part in setting]
            self._cursor(connection).execute(f"SELECT {calls}", values)
        if self._mark is not None:
            self._execute(connection, self._mark)

    def _text(self, statement: Statement[Any]) -> str:
        return qualify(statement.text, self._profile.schema)

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        profile = self._profile
        return translated(profile.dsn, profile.schema, doing, read_only=profile.read_only)


class Transaction(Verbs):
    """The verbs inside a transaction that somebody else ends, and the bulk ways in."""

    def __init__(self, connection: Connection, profile: Profile, *, prepare: bool | None = None) -> None:
        super().__init__(profile, prepare=prepare)
        self._inside = connection
        self._settings = {}

    def _connection(self) -> AbstractContextManager[Connection]:
        return _lent(self._inside)

    @property
    def connection(self) -> Connection:
        """The driver's connection, for what is text by nature: roles and migrations."""
        return self._inside

    def copy_in(
        self, table: str, columns: Sequence[str], sql_types: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> int:
        """Stream rows into a table by binary COPY; the number of rows.

        ``table`` is a name in the schema, or ``pg_temp.name``. ``sql_types`` are PostgreSQL's names of the columns'
        types. What ``rows`` raises passes through; nothing is stored then.
        """
        with self._copying(table, columns) as (cursor, copy):
            copy.set_types(sql_types)
            write = copy.write_row
            for row in rows:
                write(row)
        return max(cursor.rowcount, 0)

    def copy_in_raw(self, table: str, columns: Sequence[str], chunks: Iterable[bytes]) -> int:
        """The same for rows that are already in COPY's binary format, header and trailer included."""
        with self._copying(table, columns) as (cursor, copy):
            for chunk in chunks:
                copy.write(chunk)
                del chunk  # which may be large, before the next one is made
        return max(cursor.rowcount, 0)

    @contextmanager
    def _copying(self, table: str, columns: Sequence[str]) -> Iterator[tuple[_Cursor, psycopg.Copy]]:
        schema, _, name = table.rpartition(".")
        query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(schema or self.schema, name), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with self._translated(f"copying into {table}"):
            self._begin(self._inside, _LONG)
            cursor = self._cursor(self._inside)
            with cursor.copy(query) as copy:
                yield cursor, copy


@contextmanager
def _lent(connection: Connection) -> Iterator[Connection]:
    yield connection


def _rows(cursor: _Cursor) -> list[tuple[Any, ...]]:
    # Its ``description`` would say so too, and make an object for each column.
    result = cursor.pgresult
    return cursor.fetchall() if result is not None and result.status == ExecStatus.TUPLES_OK else []

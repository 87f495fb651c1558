"""A transaction of the application's, in which work is given. Not for: transactions of our own (``verbs``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from goque.errors import InvalidInput
from goque.postgres.adapters import register
from goque.postgres.connections import Connection, Profile
from goque.postgres.verbs import Transaction, Verbs
from goque.sql.statement import Statement

_Row = TypeVar("_Row")
_Cursor = psycopg.Cursor[tuple[Any, ...]]


class CallersTransaction(Transaction):
    """The verbs on a connection of the application, in its own transaction; its settings and adapters stay as they are.

    ``outside`` is a connection that sees what others have committed. The first statement begins the transaction, if
    none is open.
    """

    def __init__(self, connection: Any, profile: Profile, outside: Verbs) -> None:
        super().__init__(_in_order(driver_connection(connection)), profile, prepare=False)
        self._outside = outside

    def seen(self, statement: Statement[_Row]) -> list[_Row]:
        """The rows as this transaction sees them; where it sees none, those that others have committed.

        Under REPEATABLE READ it does not see what was committed after it began, and yet may not store it again.
        """
        return self.all(statement) or self._outside.all(statement)

    @contextmanager
    def transaction(self, doing: str = "a transaction") -> Iterator[Transaction]:
        """A savepoint, so that what fails in it leaves the application's transaction usable."""
        with self._translated(doing), self._inside.transaction():
            yield self

    def _begin(self, connection: Connection, more: dict[str, str]) -> None:
        """Nothing: the transaction is the application's."""

    def _cursor(self, connection: Connection) -> _Cursor:
        cursor: _Cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        cursor.format = psycopg.pq.Format.BINARY
        register(cursor.adapters, own_time_zone=False)
        return cursor


def driver_connection(connection: Any) -> Connection:
    """The psycopg connection itself, or the one under an SQLAlchemy connection or session.

    Raises:
        InvalidInput: it is neither.
    """
    found = connection if isinstance(connection, psycopg.Connection) else _under_sqlalchemy(connection)
    if isinstance(found, psycopg.Connection):
        return found
    if _is_asynchronous(connection):
        raise InvalidInput(
            "q.using() takes a synchronous connection. In a transaction of an asynchronous one, "
            "\"select goque.enqueue('type', payload)\" enqueues a named type; or open a psycopg.Connection in a thread"
        )
    raise InvalidInput(
        "q.using() takes a psycopg 3 connection, or an SQLAlchemy connection or session over postgresql+psycopg, "
        f"not {type(connection).__module__}.{type(connection).__qualname__}"
    )


def _is_asynchronous(connection: Any) -> bool:
    of_sqlalchemy = hasattr(connection, "sync_session") or hasattr(connection, "sync_connection")
    return isinstance(connection, psycopg.AsyncConnection) or of_sqlalchemy


def _under_sqlalchemy(connection: Any) -> Any:
    if _is_asynchronous(connection):
        return None
    opened = getattr(connection, "connection", None)
    if callable(opened):  # a session, which has a connection while its transaction lasts
        connection = opened()
    if not hasattr(getattr(connection, "connection", None), "driver_connection"):
        return None
    if not connection.in_transaction():
        # SQLAlchemy commits only what it knows to have begun, and does not see what we run on the driver's connection.
        connection.begin()
    return connection.connection.driver_connection


def _in_order(connection: Connection) -> Connection:
    """
    Raises:
        InvalidInput: no work can be given in a transaction of this connection now.
    """
    if connection.closed:
        raise InvalidInput("this connection is closed; open another one for q.using()")
    status = connection.info.transaction_status
    if status == TransactionStatus.INERROR:
        raise InvalidInput(
            "the transaction of this connection has failed: roll it back, or back to a savepoint, then give the work"
        )
    in_pipeline = connection.pgconn.pipeline_status != psycopg.pq.PipelineStatus.OFF
    if status == TransactionStatus.ACTIVE or in_pipeline:
        raise InvalidInput("this connection is in the middle of a COPY, a stream or a pipeline; give the work after it")
    if status == TransactionStatus.IDLE and connection.autocommit:
        raise InvalidInput(
            "this connection is in autocommit and has no transaction open: write `with connection.transaction():` "
            "around it, or submit to the queue itself"
        )
    return connection

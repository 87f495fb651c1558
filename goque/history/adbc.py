"""Reading Arrow tables through ADBC, an optional driver. Not for: deciding when (``fetching``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from goque.errors import DatabaseError
from goque.postgres.database import Database
from goque.postgres.verbs import Verbs
from goque.sql import Statement, qualify

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def reaches(database: Verbs) -> bool:
    """Whether a second connection sees the same: not inside a transaction, and not through a pooler."""
    return isinstance(database, Database) and not database.pooler


def table(database: Verbs, statement: Statement[Any]) -> Any:
    """The rows as an Arrow table. Values go as text beside the query, which casts each to its type."""
    import pyarrow
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    assert isinstance(database, Database)
    names: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}::text"

    text = _PLACEHOLDER.sub(numbered, qualify(statement.text, database.schema))
    values = [as_text(statement.values[name]) for name in names]
    given = pyarrow.record_batch([pyarrow.array([value], pyarrow.string()) for value in values], names=names)
    try:
        with dbapi.connect(database.dsn) as connection, connection.cursor() as cursor:
            cursor.execute(text, given if names else None)
            return cursor.fetch_arrow_table()
    except Error as error:
        raise DatabaseError(f"Reading {statement.name} through ADBC failed: {type(error).__name__}.") from error


def as_text(value: object) -> str | None:
    """A value as PostgreSQL reads it from text."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "{" + ",".join(_element(item) for item in value) + "}"
    return str(value)


def _element(item: object) -> str:
    text = as_text(item)
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

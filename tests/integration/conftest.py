"""Small statements and tables for tests of the database layer itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from goque.postgres.database import Database
from goque.sql.statement import Statement, scalar

MakeStatement = Callable[..., Statement[Any]]


@pytest.fixture
def statement() -> MakeStatement:
    """Make a statement of text, since these tests are about the verbs and not about queries."""

    def make(text: str, /, read: Callable[[tuple[Any, ...]], Any] = scalar, **values: object) -> Statement[Any]:
        return Statement(text, values, read, "test.statement")

    return make


@pytest.fixture
def numbers(database: Database, statement: MakeStatement) -> Database:
    """The database with a table ``number (n bigint primary key, note text)`` in the schema."""
    database.run(statement('CREATE TABLE "goque".number (n bigint primary key, note text)'))
    return database

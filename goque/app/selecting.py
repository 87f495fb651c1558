"""Queries of users over the typed layer, run on their queue. Not for: the layer itself (``goque.sql``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goque.errors import InvalidInput
from goque.postgres.database import Database
from goque.sql import Expression, Select, statement_of

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class UserSelect(Select[tuple[Any, ...]]):
    """A select that knows its database. The table is taken from the columns unless ``from_`` names it."""

    database: Database | None = None

    @classmethod
    def of(cls, database: Database, columns: tuple[Expression[Any], ...]) -> UserSelect:
        """Begin a query for these columns."""
        if not columns:
            raise InvalidInput("q.select takes columns of goque.sql tables: q.select(tasks.type, count())")
        return cls(columns=columns, database=database)

    def all(self) -> list[tuple[Any, ...]]:
        """The rows as tuples."""
        return self._database().all(statement_of(self._complete(), name="select"))

    def first(self) -> tuple[Any, ...] | None:
        """The first row, or None."""
        return self._database().first(statement_of(self._complete(), name="select"))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._database().stream(statement_of(self._complete(), name="select"))

    def to_frame(self) -> DataFrame:
        """The rows as a DataFrame."""
        from goque.history import frames

        return frames.frame_of(self._database(), self._complete())

    def _database(self) -> Database:
        assert self.database is not None
        return self.database

    def _complete(self) -> UserSelect:
        """With the tables of its columns where no FROM was given."""
        if self.sources:
            return self
        from goque.sql.views import view_called

        names = list(dict.fromkeys(name for column in self.columns if (name := getattr(column, "table", None))))
        if len(names) != 1:
            raise InvalidInput(
                "these columns are not of one table; say which to read with .from_(tasks) and .join(...)"
            )
        return self.from_(view_called(names[0]))

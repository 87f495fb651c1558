"""Tables declared once, and everything else a query can read rows from. Not for: the tables of goque, see tables.py."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, overload

from pypika.queries import Table as PyPikaTable

from goque.sql.expressions import Expression, null, value_near
from goque.sql.printing import SCHEMA, STYLE, Fragment, identifier, joined, quoted
from goque.sql.types import BIGINT, INTEGER, SqlType

T = TypeVar("T")
TableT = TypeVar("TableT", bound="Table")


class ColumnRef(Expression[T]):
    """A column of one source of rows in a query."""

    __slots__ = ("name", "table")

    def __init__(self, table: str, name: str, sql_type: SqlType[T], nullable: bool) -> None:
        super().__init__(Fragment(f"{quoted(table)}.{quoted(name)}"), sql_type, nullable=nullable, label=name)
        self.table = table
        self.name = name

    @overload
    def to(self, value: Expression[T]) -> Assignment: ...
    @overload
    def to(self, value: T) -> Assignment: ...
    def to(self, value: Any) -> Assignment:
        """This column gets this value, in an update or an upsert; None writes null."""
        return Assignment(self, value)


class Assignment:
    """A column and what it is set to, checked when made."""

    __slots__ = ("column", "value")

    def __init__(self, column: ColumnRef[Any], value: Any) -> None:
        self.column = column
        self.value = assigned(column, value)


def assigned(column: ColumnRef[Any], value: Any) -> Expression[Any]:
    """The value as an expression that the column takes; TypeError if it does not."""
    if value is None and column.nullable:
        return null(column.sql_type)
    expression = value_near(value, column.sql_type, column.name)
    if not column.sql_type.fits(expression.sql_type):
        raise TypeError(
            f"{column.table}.{column.name} is {column.sql_type.name} and cannot hold "
            f"{expression.sql_type.name} ({expression.sql_type.python}); cast the value"
        )
    return expression


class Column(Generic[T]):
    """A column in the declaration of a ``Table``; on an instance of the table it is a ``ColumnRef``."""

    @overload
    def __init__(self, sql_type: SqlType[T]) -> None: ...
    @overload
    def __init__(self: Column[T | None], sql_type: SqlType[T], *, nullable: Literal[True]) -> None: ...
    def __init__(self, sql_type: SqlType[Any], *, nullable: bool = False) -> None:
        self.sql_type = sql_type
        self.nullable = nullable

    def __set_name__(self, owner: type[Table], name: str) -> None:
        self.name = identifier(name)

    @overload
    def __get__(self, instance: None, owner: type[Table]) -> Self: ...
    @overload
    def __get__(self, instance: Table, owner: type[Table]) -> ColumnRef[T]: ...
    def __get__(self, instance: Table | None, owner: type[Table]) -> Self | ColumnRef[T]:
        if instance is None:
            return self
        reference: ColumnRef[T] = ColumnRef(instance._reference, self.name, self.sql_type, self.nullable)
        instance.__dict__[self.name] = reference
        return reference


class Source:
    """Rows to read from, under the name ``_reference``. Public names are left to the columns."""

    _reference: str

    def _columns(self) -> tuple[ColumnRef[Any], ...]:
        raise NotImplementedError

    def _from(self) -> Any:
        """The term for FROM and JOIN, alias included."""
        raise NotImplementedError


class Table(Source):
    """A table of the schema; subclasses declare its columns. ``as_`` gives it another name in a query."""

    def __init__(self, name: str, *, alias: str | None = None) -> None:
        self._table = identifier(name)
        self._alias = None if alias is None else source_name(alias)
        self._reference = self._alias or self._table

    def as_(self, alias: str) -> Self:
        """The same table under another name, for a query that reads it twice."""
        return type(self)(self._table, alias=alias)

    if not TYPE_CHECKING:  # checkers know the columns

        def __getattr__(self, name: str) -> Any:
            close = difflib.get_close_matches(name, self._declared(), n=3, cutoff=0.5)
            advice = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(self._declared())}"
            raise AttributeError(f"{type(self).__name__} has no column {name!r}; {advice}", name=name, obj=self)

    def __repr__(self) -> str:
        return f"<table {self._table}" + (f" as {self._alias}>" if self._alias else ">")

    @classmethod
    def _declared(cls) -> dict[str, Column[Any]]:
        found: dict[str, Column[Any]] = {}
        for kind in reversed(cls.__mro__):
            found.update((name, value) for name, value in vars(kind).items() if isinstance(value, Column))
        return found

    def _columns(self) -> tuple[ColumnRef[Any], ...]:
        return tuple(getattr(self, name) for name in self._declared())

    def _pypika(self) -> Any:
        return PyPikaTable(self._table, schema=SCHEMA, alias=self._alias)

    def _from(self) -> Any:
        return Fragment(self._pypika().get_sql(**STYLE))


class Derived(Source):
    """Rows that a query makes, with the columns it makes: ``rows.name``, ``rows["name"]``.

    ``rows[TASK.id]`` is the column that came from this one, with its type known to checkers.
    """

    def __init__(self, reference: str, columns: dict[str, tuple[SqlType[Any], bool]], body: Any) -> None:
        self._reference = source_name(reference)
        self._body = body
        self._refs = {
            name: ColumnRef(reference, name, sql_type, nullable) for name, (sql_type, nullable) in columns.items()
        }

    def __getattr__(self, name: str) -> ColumnRef[Any]:
        # During copying and unpickling there are no columns yet.
        references: dict[str, ColumnRef[Any]] = self.__dict__.get("_refs", {})
        if name not in references:
            raise AttributeError(
                f"{self.__dict__.get('_reference')} has no column {name!r}, only {', '.join(references)}"
            )
        return references[name]

    @overload
    def __getitem__(self, key: str) -> ColumnRef[Any]: ...
    @overload
    def __getitem__(self, key: Expression[T]) -> ColumnRef[T]: ...
    def __getitem__(self, key: Any) -> Any:
        return getattr(self, key if isinstance(key, str) else str(key.label))

    def __iter__(self) -> Any:
        raise TypeError("rows of a query are not iterable here; columns_of(rows) lists its columns")

    def _columns(self) -> tuple[ColumnRef[Any], ...]:
        return tuple(self._refs.values())

    def _require_columns(self) -> None:
        if not self._refs:
            raise TypeError(f"{self._reference} has no rows to read from; end its query with .returning(...)")

    def _from(self) -> Any:
        self._require_columns()
        return Fragment("(", self._body, f") {quoted(self._reference)}")


class RowFunction(Derived):
    """A function that makes rows, as unnest and generate_series."""

    def __init__(
        self, reference: str, columns: dict[str, tuple[SqlType[Any], bool]], body: Any, ordinality: bool = False
    ) -> None:
        super().__init__(reference, columns, body)
        self._ordinality = ordinality

    def with_ordinality(self, name: str = "ordinality") -> RowFunction:
        """One more column at the end: the number of the row, from 1."""
        columns = {column.name: (column.sql_type, column.nullable) for column in self._columns()}
        return RowFunction(self._reference, columns | {name: (BIGINT, False)}, self._body, True)

    def _from(self) -> Any:
        names = ",".join(quoted(column.name) for column in self._columns())
        counted = " WITH ORDINALITY" if self._ordinality else ""
        return Fragment(self._body, f"{counted} AS {quoted(self._reference)}({names})")


def source_name(name: str) -> str:
    """A name for rows in a query; the schema's own is refused, because it is replaced in the text."""
    if name == SCHEMA:
        raise ValueError(f"rows cannot be called {SCHEMA!r}, as the schema is; choose another name")
    return identifier(name)


def columns_of(source: Source) -> tuple[ColumnRef[Any], ...]:
    """All columns, in order."""
    return source._columns()


def excluded(table: TableT) -> TableT:
    """The row an upsert could not insert, as a table."""
    return table.as_("excluded")


def unnest(reference: str, /, **arrays: Expression[Any]) -> RowFunction:
    """The arrays side by side as rows, one column per keyword; shorter arrays are filled up with null."""
    columns: dict[str, tuple[SqlType[Any], bool]] = {}
    for name, expression in arrays.items():
        element = expression.sql_type.element
        if element is None:
            raise TypeError(f"unnest() takes arrays, and {name} is {expression.sql_type.name}; use array(TYPE)")
        columns[name] = (element, expression.sql_type.nullable_elements)
    body = Fragment("UNNEST(", joined([expression.term for expression in arrays.values()]), ")")
    return RowFunction(reference, columns, body)


def generate_series(
    reference: str, start: int | Expression[int], stop: int | Expression[int], *, column: str = "value"
) -> RowFunction:
    """The whole numbers from start to stop, both included, as rows of one column."""
    first, last = (value_near(bound, INTEGER, "generate_series()") for bound in (start, stop))
    sql_type = BIGINT if BIGINT in (first.sql_type, last.sql_type) else INTEGER
    body = Fragment("GENERATE_SERIES(", first.term, ",", last.term, ")")
    return RowFunction(reference, {column: (sql_type, False)}, body)

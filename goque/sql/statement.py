"""From a query to what the database runs: text printed once, values bound per call. Not for: running it.

A ``Template`` is a query of the package, compiled at first use and kept; ``statement_of`` compiles a query that is
built per call. The text names the schema ``"goque"`` everywhere; ``qualify`` puts the real one in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar, overload

from goque.errors import InvalidInput
from goque.sql.printing import SCHEMA, collecting
from goque.sql.query import Query
from goque.sql.types import SqlType

Row = TypeVar("Row")
T = TypeVar("T")
Reader = Callable[[tuple[Any, ...]], Row]


@dataclass(frozen=True, slots=True)
class Statement(Generic[Row]):
    """One call of a query: text with ``%(name)s`` placeholders, a value for each, and how a row is read."""

    text: str
    # Values are payloads, keys and names of others: they never show in a repr.
    values: dict[str, object] = field(repr=False)
    read: Callable[[tuple[Any, ...]], Row] = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """A printed query: its text, the binds still to be given, those it carries, and its columns."""

    text: str
    parameters: dict[str, SqlType[Any]]
    nullable: frozenset[str]
    constants: dict[str, object]
    columns: tuple[tuple[str, SqlType[Any], bool], ...]
    checks: dict[str, Callable[[object], bool]]

    def bound(self, values: dict[str, object], name: str) -> dict[str, object]:
        """The values of all placeholders; TypeError if a name or a type does not fit."""
        if values.keys() != self.checks.keys():
            missing = ", ".join(sorted(self.checks.keys() - values.keys())) or "nothing"
            unknown = ", ".join(sorted(values.keys() - self.checks.keys())) or "nothing"
            raise TypeError(
                f"{name}: missing {missing}, unknown {unknown}; it takes {', '.join(self.checks) or 'nothing'}"
            )
        for key, accepts in self.checks.items():
            value = values[key]
            if not accepts(value) and not (value is None and key in self.nullable):
                self.parameters[key].check(value, f"{name}: {key}")
        if self.constants:
            values.update(self.constants)
        return values


def compiled(query: Query[Any]) -> Compiled:
    """Print a query."""
    with collecting() as collector:
        text = query.get_sql()
    return Compiled(
        text,
        {name: sql_type for name, (sql_type, _) in collector.parameters.items()},
        frozenset(name for name, (_, nullable) in collector.parameters.items() if nullable),
        collector.constants,
        tuple((column.label or "?column?", column.sql_type, column.nullable) for column in query.result()),
        {name: sql_type.accepts for name, (sql_type, _) in collector.parameters.items()},
    )


class ScalarReader:
    """Reads a row of one column as its value. A class, so that a template of it knows the type of the column."""

    __slots__ = ()

    def __call__(self, row: tuple[T, ...]) -> T:
        return row[0]


scalar = ScalarReader()


def _spread(read: Callable[..., Row]) -> Reader[Row]:
    return lambda row: read(*row)


def _quick(read: Callable[..., Row], columns: int) -> Reader[Row]:
    """A named tuple's ``_make`` without its check of the length for each row, at a third of the cost."""
    made: Any = getattr(read, "__self__", None)
    fields = getattr(made, "_fields", None)
    if fields is None or read != made._make or len(fields) != columns:
        return read
    return partial(tuple.__new__, made)


def reader(read: Callable[..., Row], columns: tuple[tuple[str, SqlType[Any], bool], ...]) -> Reader[Row]:
    """How a row of these columns is read: ``read`` of it, with text turned into members of its enum before.

    ``read`` takes the row; a dataclass takes the columns in order.
    """
    spread: bool = is_dataclass(read)
    shape = _spread(read) if spread else _quick(read, len(columns))
    loads = [(place, sql_type.load) for place, (_, sql_type, _) in enumerate(columns) if sql_type.load is not None]
    if not loads:
        return shape

    def read_loaded(row: tuple[Any, ...]) -> Row:
        values = list(row)
        for place, load in loads:
            if values[place] is not None:
                values[place] = load(values[place])
        return shape(tuple(values))

    return read_loaded


class Template(Generic[Row]):
    """A query of the package. Its builder runs once, at first use, in whichever thread comes first."""

    def __init__(self, build: Callable[[], Query[Any]], read: Callable[..., Row]) -> None:
        self.name = f"{build.__module__.rpartition('.')[2]}.{build.__name__.lstrip('_')}"
        self.__doc__ = build.__doc__
        self._build = build
        self._shape = read
        self._lock = threading.Lock()
        self._ready: tuple[Compiled, Reader[Row]] | None = None

    @property
    def text(self) -> str:
        """The text, with the schema as ``"goque"``."""
        return self._compile()[0].text

    @property
    def parameters(self) -> dict[str, SqlType[Any]]:
        """The type of each value that ``bind`` takes."""
        return self._compile()[0].parameters

    @property
    def columns(self) -> tuple[tuple[str, SqlType[Any], bool], ...]:
        """Name, type and nullability of each column of a row."""
        return self._compile()[0].columns

    def bind(self, **values: object) -> Statement[Row]:
        """The statement with these values; TypeError for a missing, unknown or wrongly typed one."""
        query, read = self._ready or self._compile()
        return Statement(query.text, query.bound(values, self.name), read, self.name)

    def __repr__(self) -> str:
        return f"<template {self.name}>"

    def _compile(self) -> tuple[Compiled, Reader[Row]]:
        with self._lock:
            if self._ready is None:
                query = compiled(self._build())
                self._ready = (query, reader(self._shape, query.columns))
            return self._ready


_templates: dict[tuple[str, str], Template[Any]] = {}


@overload
def template() -> Callable[[Callable[[], Query[Row]]], Template[Row]]: ...
@overload
def template(*, read: ScalarReader) -> Callable[[Callable[[], Query[tuple[T]]]], Template[T]]: ...
@overload
def template(*, read: Callable[..., Row]) -> Callable[[Callable[[], Query[Any]]], Template[Row]]: ...
def template(*, read: Callable[..., Any] = tuple) -> Any:
    """Make a template of a function that builds a query.

    ``read`` says what a row becomes: ``tuple``, ``scalar``, a dataclass, a named tuple's ``_make``, any callable
    that takes the row.
    """

    def decorate(build: Callable[[], Query[Any]]) -> Template[Any]:
        made: Template[Any] = Template(build, read)
        # Defining a template again, as reloading its module does, replaces it.
        _templates[build.__module__, build.__qualname__] = made
        return made

    return decorate


def all_templates() -> list[Template[Any]]:
    """Every template whose module has been imported, in order of definition."""
    return list(_templates.values())


@overload
def statement_of(
    query: Query[Row], *, name: str = ..., values: Mapping[str, object] | None = ...
) -> Statement[Row]: ...
@overload
def statement_of(
    query: Query[tuple[T]], *, read: ScalarReader, name: str = ..., values: Mapping[str, object] | None = ...
) -> Statement[T]: ...
@overload
def statement_of(
    query: Query[Any], *, read: Callable[..., Row], name: str = ..., values: Mapping[str, object] | None = ...
) -> Statement[Row]: ...
def statement_of(
    query: Query[Any],
    *,
    read: Callable[..., Any] = tuple,
    name: str = "query",
    values: Mapping[str, object] | None = None,
) -> Statement[Any]:
    """A query that was built for this call, as a statement; ``values`` are for its named binds."""
    printed = compiled(query)
    return Statement(printed.text, printed.bound(dict(values or {}), name), reader(read, printed.columns), name)


@lru_cache(maxsize=4096)
def qualify(text: str, schema: str) -> str:
    """The text with the schema's name in place of ``"goque"``. Safe: no value ever stands in the text."""
    if schema == SCHEMA:
        return text
    return text.replace(f'"{SCHEMA}".', f"{quoted_schema(schema)}.")


def quoted_schema(schema: str) -> str:
    """A schema's name in double quotes; InvalidInput for names that would need escapes in a statement."""
    if not schema or len(schema.encode()) > 63 or any(sign in schema for sign in "\"'%\\\0"):
        raise InvalidInput(f"{schema!r} cannot be the schema; use up to 63 letters, digits and underscores")
    return f'"{schema}"'

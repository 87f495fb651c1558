"""What holds PyPika to strict binding: one term class, checked identifiers, and the collector of parameters.

Not for: what a query means. Every leaf that PyPika prints for goque is a ``Fragment``, so that no Python value
reaches PyPika's own inlining (which loses bytes and knows no arrays), and a ``%`` occurs in placeholders only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pypika.enums import Dialects
from pypika.terms import Criterion, ValueWrapper
from pypika.utils import format_quotes

from goque.sql.types import SqlType

SCHEMA = "goque"
STYLE: dict[str, Any] = {
    "quote_char": '"',
    "secondary_quote_char": "'",
    "alias_quote_char": '"',
    "dialect": Dialects.POSTGRESQL,
}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def identifier(name: str) -> str:
    """The name itself, if it is one that needs no escape anywhere; ValueError otherwise."""
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} cannot name anything in a query; use letters, digits and underscores")
    return name


def quoted(name: str) -> str:
    """The identifier in double quotes."""
    text: str = format_quotes(identifier(name), '"')
    return text


class Fragment(Criterion):  # type: ignore[misc]
    """Texts and terms printed one after another. Its texts come from this package only, never from a caller."""

    def __init__(self, *parts: Any, alias: str | None = None) -> None:
        super().__init__(alias)
        self.parts = parts

    # PyPika puts terms into sets; its own hash prints the term, and its own == builds a condition.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def nodes_(self) -> Iterator[Any]:
        yield self

    def get_sql(self, with_alias: bool = False, **_: Any) -> str:
        text: str = self.text()
        return f"{text} {quoted(self.alias)}" if with_alias and self.alias else text

    def text(self) -> str:
        """The parts as text, without the alias."""
        return "".join(part if isinstance(part, str) else part.get_sql(**STYLE) for part in self.parts)


class Refused(ValueWrapper):  # type: ignore[misc]
    """Stands where PyPika would wrap a raw Python value: it must never happen."""

    def __init__(self, value: object, **_: Any) -> None:
        raise TypeError(f"a raw {type(value).__name__} reached the printer; every value must be bound")


def joined(terms: list[Any], separator: str = ",") -> Fragment:
    """The terms with a separator between them."""
    parts: list[Any] = []
    for term in terms:
        if parts:
            parts.append(separator)
        parts.append(term)
    return Fragment(*parts)


class Collector:
    """Gathers, while a query is printed, the parameters its text names."""

    def __init__(self) -> None:
        self.parameters: dict[str, tuple[SqlType[Any], bool]] = {}
        self.constants: dict[str, object] = {}
        self._automatic: dict[int, tuple[str, object]] = {}

    def named(self, name: str, sql_type: SqlType[Any], nullable: bool) -> str:
        """Placeholder of a bind with a name; one name has one type throughout a query."""
        known = self.parameters.setdefault(name, (sql_type, nullable))
        if known[0].name != sql_type.name or known[1] != nullable:
            raise TypeError(f"bind {name} is both {known[0].name} and {sql_type.name}, or only sometimes nullable")
        return f"%({name})s::{sql_type.name}"

    def automatic(self, bind: object, value: object, sql_type: SqlType[Any]) -> str:
        """Placeholder of a value given in the query itself; the same object has the same name everywhere."""
        name, _ = self._automatic.setdefault(id(bind), (f"p{len(self._automatic) + 1}", bind))
        self.constants[name] = value
        return f"%({name})s::{sql_type.name}"


_collector: ContextVar[Collector | None] = ContextVar("goque_sql_collector", default=None)


@contextmanager
def collecting() -> Iterator[Collector]:
    """While it is open, whatever is printed in this context registers its parameters here."""
    collector = Collector()
    token = _collector.set(collector)
    try:
        yield collector
    finally:
        _collector.reset(token)


def collector() -> Collector:
    """The open collector; a new one for a text that is only looked at."""
    return _collector.get() or Collector()


class Placeholder(Fragment):
    """A bind with a name. PyPika hands no context down through functions, hence the collector."""

    def __init__(self, name: str, sql_type: SqlType[Any], nullable: bool) -> None:
        super().__init__()
        self.name, self.sql_type, self.nullable = identifier(name), sql_type, nullable

    def text(self) -> str:
        return collector().named(self.name, self.sql_type, self.nullable)


class ValuePlaceholder(Fragment):
    """A bind made for a Python value that stands in the query itself."""

    def __init__(self, value: object, sql_type: SqlType[Any]) -> None:
        super().__init__()
        self.value, self.sql_type = value, sql_type

    def text(self) -> str:
        return collector().automatic(self, self.value, self.sql_type)

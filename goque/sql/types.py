"""The PostgreSQL types that goque uses, each with its Python type. Not for: conversion on the wire, which psycopg does.

A value is checked before it is bound, because PostgreSQL would convert many wrong ones silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)

# Arrays longer than this are checked at their head only: a bind must stay cheap whatever the batch size.
CHECKED_LENGTH = 16
CHECKED_HEAD = 4


@dataclass(frozen=True, slots=True)
class SqlType(Generic[T_co]):
    """A PostgreSQL type: ``name`` as it is printed in casts, ``python`` as it is called in messages.

    Types of one ``family`` may be compared with and assigned to each other. ``load`` turns what psycopg
    returns into the Python type, where they differ.
    """

    name: str
    python: str
    family: str = field(repr=False)
    accepts: Callable[[object], bool] = field(repr=False)
    load: Callable[[Any], T_co] | None = field(repr=False, default=None)
    element: SqlType[Any] | None = field(repr=False, default=None)
    nullable_elements: bool = field(repr=False, default=False)
    # Exact types that need no further look, which is what makes checking an array cheap.
    exact: frozenset[type] = field(repr=False, default=frozenset())

    def check(self, value: object, where: str) -> None:
        """Raise TypeError unless ``value`` may be bound as this type; ``where`` says what it was meant for.

        The message names types only: a value may be a secret.
        """
        if not self.accepts(value):
            hint = ""
            if value is None:
                hint = "; use is_null() to compare, null(TYPE) to write"
            elif isinstance(value, datetime):
                hint = "; give it a time zone"
            raise TypeError(f"{where} takes {self.python}, not {_spelled(value)}{hint}")

    def fits(self, other: SqlType[Any]) -> bool:
        """Whether PostgreSQL compares and assigns the two as they are, without losing meaning."""
        if self.load is not None and other.load is not None:
            return self == other
        return self.family == other.family


def _spelled(value: object) -> str:
    if isinstance(value, datetime):
        return "a naive datetime"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of " + (
            ", ".join(sorted({type(item).__name__ for item in value[:16]})) or "nothing"
        )
    return type(value).__name__


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_aware(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_a(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


def _scalar(name: str, python: str, accepts: Callable[[object], bool], *exact: type, family: str = "") -> SqlType[Any]:
    return SqlType(name, python, family or name, accepts, exact=frozenset(exact))


BIGINT: SqlType[int] = _scalar("bigint", "int", _is_int, int, family="number")
INTEGER: SqlType[int] = _scalar("integer", "int", _is_int, int, family="number")
SMALLINT: SqlType[int] = _scalar("smallint", "int", _is_int, int, family="number")
DOUBLE: SqlType[float] = _scalar("double precision", "float", _is_number, float, int, family="number")
TEXT: SqlType[str] = _scalar("text", "str", _is_a(str), str)
BOOLEAN: SqlType[bool] = _scalar("boolean", "bool", _is_a(bool), bool)
BYTEA: SqlType[bytes] = _scalar("bytea", "bytes", _is_a(bytes, bytearray, memoryview), bytes)
TIMESTAMPTZ: SqlType[datetime] = _scalar("timestamptz", "an aware datetime", _is_aware)
INTERVAL: SqlType[timedelta] = _scalar("interval", "timedelta", _is_a(timedelta), timedelta)
# A str is JSON text, already encoded: a JSON string as such needs its own quotes.
JSONB: SqlType[Any] = _scalar("jsonb", "dict or JSON text", _is_a(dict, str), dict, str)
OID: SqlType[int] = SqlType("oid", "the number of an object", "oid", lambda _: False)
VOID: SqlType[Any] = _scalar("void", "nothing", lambda _: False)
XID8: SqlType[Any] = _scalar("xid8", "the number of a transaction", lambda _: False)
TID: SqlType[Any] = _scalar("tid", "the place of a row", lambda _: False)

INTEGERS = (SMALLINT, INTEGER, BIGINT)


def array(element: SqlType[T], *, nullable: bool = False) -> SqlType[list[T]]:
    """The array of a type; with ``nullable`` its elements may be None."""
    accepts_element = element.accepts
    sure = element.exact | {type(None)} if nullable else element.exact

    def accepts(value: object) -> bool:
        if not isinstance(value, (list, tuple)):
            return False
        head = value if len(value) <= CHECKED_LENGTH else value[:CHECKED_HEAD]
        if sure.issuperset(map(type, head)):
            return True
        return all(accepts_element(item) or (nullable and item is None) for item in head)

    load = element.load

    def load_all(values: Any) -> list[T]:
        assert load is not None
        return [None if value is None else load(value) for value in values]  # type: ignore[misc]

    return SqlType(
        f"{element.name}[]",
        f"list of {element.python}",
        f"{element.family}[]",
        accepts,
        load_all if load is not None else None,
        element,
        nullable,
    )


@cache
def _enum_text(kind: type[StrEnum]) -> SqlType[Any]:
    return SqlType("text", f"a member of {kind.__name__}", "text", _is_a(kind), kind, exact=frozenset({kind}))


def enum_text(kind: type[E]) -> SqlType[E]:
    """A StrEnum kept as text: only its members are accepted, and rows give members.

    One object per enum, so that its columns and its literals are of the same type.
    """
    return _enum_text(kind)


def arithmetic_type(sign: str, left: SqlType[Any], right: SqlType[Any]) -> SqlType[Any]:
    """What PostgreSQL makes of ``left sign right``; TypeError if there is no such operation."""
    families = (left.family, right.family)
    if families == ("number", "number"):
        return DOUBLE if DOUBLE in (left, right) else max(left, right, key=INTEGERS.index)
    if families == ("timestamptz", "interval") and sign in "+-":
        return TIMESTAMPTZ
    if families == ("interval", "interval") and sign in "+-":
        return INTERVAL
    if families == ("timestamptz", "timestamptz") and sign == "-":
        return INTERVAL
    if families == ("interval", "number") and sign == "*":
        return INTERVAL
    raise TypeError(f"{left.name} {sign} {right.name} does not exist; cast one of them")

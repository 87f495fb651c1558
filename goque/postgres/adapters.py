"""How Python values travel: one wire type per Python type. Not for: what a column means (``goque.sql``).

The driver would send an ``int`` as smallint, integer or bigint by its size, and one prepared statement would become
three. Here an int is always a bigint, a dict is jsonb, and arrays go in binary.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper, Loader, PyFormat
from psycopg.types.array import ListBinaryDumper, ListDumper
from psycopg.types.json import JsonbBinaryDumper, JsonbDumper
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

_INT8, _INT8_ARRAY = 20, 1016
_BYTEA, _BYTEA_ARRAY = 17, 1001
_FLOAT8, _FLOAT8_ARRAY = 701, 1022
_TEXT, _TEXT_ARRAY = 25, 1009
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_LENGTH = Struct("!i").pack
_HEAD = Struct("!iiIii").pack  # dimensions, has nulls, element type, length, lower bound
_MICROSECONDS = Struct("!q").unpack


class Int8ListDumper(Dumper):
    """A flat list of ints as ``int8[]``; the driver's general one looks at every element three times."""

    format = pq.Format.BINARY
    oid = _INT8_ARRAY

    def dump(self, obj: list[int | None]) -> Buffer:
        """The array in PostgreSQL's binary form."""
        if None in obj:
            parts = [b"\xff\xff\xff\xff" if item is None else _sized_int(8, item) for item in obj]
            return _HEAD(1, 1, _INT8, len(obj), 1) + b"".join(parts)
        flat = [8] * (2 * len(obj))
        flat[1::2] = obj  # type: ignore[assignment]
        return _HEAD(1, 0, _INT8, len(obj), 1) + _packed("iq", flat)


class ByteaListDumper(Dumper):
    """A flat list of bytes as ``bytea[]``."""

    format = pq.Format.BINARY
    oid = _BYTEA_ARRAY

    def dump(self, obj: list[bytes | None]) -> Buffer:
        """The array in PostgreSQL's binary form."""
        parts: list[bytes] = []
        for item in obj:
            if item is None:
                parts.append(b"\xff\xff\xff\xff")
            else:
                parts += (_LENGTH(len(item)), item)
        return _HEAD(1, int(None in obj), _BYTEA, len(obj), 1) + b"".join(parts)


class Float8ListDumper(Dumper):
    """A flat list of floats as ``float8[]``."""

    format = pq.Format.BINARY
    oid = _FLOAT8_ARRAY

    def dump(self, obj: list[float | None]) -> Buffer:
        """The array in PostgreSQL's binary form."""
        if None in obj:
            parts = [b"\xff\xff\xff\xff" if item is None else _sized_float(8, item) for item in obj]
            return _HEAD(1, 1, _FLOAT8, len(obj), 1) + b"".join(parts)
        flat: list[float] = [8] * (2 * len(obj))
        flat[1::2] = obj  # type: ignore[assignment]
        return _HEAD(1, 0, _FLOAT8, len(obj), 1) + _packed("id", flat)


class TextListDumper(Dumper):
    """A flat list of texts as ``text[]``."""

    format = pq.Format.BINARY
    oid = _TEXT_ARRAY

    def dump(self, obj: list[str | None]) -> Buffer:
        """The array in PostgreSQL's binary form."""
        parts: list[bytes] = []
        for item in obj:
            if item is None:
                parts.append(b"\xff\xff\xff\xff")
            else:
                raw = item.encode()
                if b"\0" in raw:
                    raise psycopg.DataError("PostgreSQL text cannot contain NUL (0x00) characters")
                parts += (_LENGTH(len(raw)), raw)
        return _HEAD(1, int(None in obj), _TEXT, len(obj), 1) + b"".join(parts)


class NullListDumper(Dumper):
    """A list of nothing but nulls, of whatever type the statement says."""

    format = pq.Format.TEXT

    def dump(self, obj: list[None]) -> Buffer:
        """The array in PostgreSQL's text form."""
        return b"{" + b",".join([b"NULL"] * len(obj)) + b"}"


_FLAT: dict[type, type[Dumper]] = {
    int: Int8ListDumper,
    bytes: ByteaListDumper,
    float: Float8ListDumper,
    str: TextListDumper,
    type(None): NullListDumper,
}


def _element(items: list[Any]) -> type:
    """The type of the first element that is not None."""
    for item in items:
        if item is not None:
            return type(item)
    return type(None)


class ArrayDumper(ListBinaryDumper):
    """Any other list in binary, and the choice of the quick dumpers for what the hot path sends."""

    def get_key(self, obj: list[Any], format: PyFormat) -> Any:
        """What the choice of a dumper depends on."""
        element = _element(obj)
        return (self.cls, element) if obj and element in _FLAT else super().get_key(obj, format)

    def upgrade(self, obj: list[Any], format: PyFormat) -> Any:
        """The dumper for lists like this one."""
        quick = _FLAT.get(_element(obj)) if obj else None
        return quick(self.cls, self._tx) if quick else super().upgrade(obj, format)


class UtcLoader(Loader):
    """``timestamptz`` in UTC whatever the session's time zone, for sessions whose settings are not ours (a pooler)."""

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """The moment, aware, in UTC."""
        return _EPOCH + timedelta(microseconds=_MICROSECONDS(data)[0])


class Adaptation:
    """The adapters as the driver wants them handed over."""

    def __init__(self, *, own_time_zone: bool) -> None:
        self.adapters = AdaptersMap(psycopg.adapters)
        self.connection = None
        register(self.adapters, own_time_zone=own_time_zone)


def register(adapters: AdaptersMap, *, own_time_zone: bool = True) -> None:
    """Add goque's adapters to a map. Of two for one class the last is the default, the other serves text-only uses."""
    for kind, text, binary in (
        (int, Int8Dumper, Int8BinaryDumper),
        (dict, JsonbDumper, JsonbBinaryDumper),
        (list, ListDumper, ArrayDumper),
        (tuple, ListDumper, ArrayDumper),  # goque has no composite types; a tuple is one more sequence
    ):
        adapters.register_dumper(kind, text)
        adapters.register_dumper(kind, binary)
    if not own_time_zone:
        adapters.register_loader("timestamptz", UtcLoader)


def _packed(element: str, flat: list[Any]) -> bytes:
    """Sizes and values in turn. The form is made each time: kept for each length, forms took tens of megabytes."""
    return Struct("!" + element * (len(flat) // 2)).pack(*flat)


_sized_int = Struct("!iq").pack
_sized_float = Struct("!id").pack

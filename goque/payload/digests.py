"""Canonical digests: the same bytes for the same value in every process. Not for: security, or telling types apart.

Equal digests mean "counts as the same" for named batches and caches: sets and dicts in any order, objects by their
state and never by identity, functions by their normalised source, defaults and captured values, modules and classes by
name (a class that travels by value by its methods too, where it is captured). Types are part of a value: 1, 1.0, True
and numpy.int64(1) differ, and so do 0.0 and -0.0; every nan is the same. A type without a canonical form, such as a
lock or a generator, contributes its name only: any two of them count as equal.
"""

from __future__ import annotations

import copyreg
import hashlib
import struct
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import FunctionType, MethodType, ModuleType
from typing import Any
from uuid import UUID

from goque.errors import NotSerializable
from goque.payload.origins import installed, travels_by_value
from goque.payload.sources import captured_values, normalised_source

DIGEST_BYTES = 16
_FAR = sys.maxsize
_NAN = float("nan")
_float = struct.Struct(">d").pack
_length = struct.Struct(">I").pack


def digest(obj: Any) -> bytes:
    """16 bytes that are the same for equal values in every process and kernel, as the module says."""
    plain = _PLAIN.get(type(obj))
    if plain is not None:
        return _hash(plain(obj))
    try:
        return _hash(_Walk().encode(obj))
    except RecursionError:
        raise NotSerializable(
            f"a {_type_name(type(obj))} is nested too deeply to be compared: pass flat data, or a path to it"
        ) from None


def type_and_module(obj: Any) -> str:
    """``module.qualname`` of a function or class, as types of tasks and of errors are spelled."""
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None) or type(obj).__qualname__
    module = getattr(obj, "__module__", None) or type(obj).__module__
    return f"{'__main__' if module == '__mp_main__' else module}.{name}"


_type_name = type_and_module


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def _frame(tag: bytes, payload: bytes) -> bytes:
    """Self-delimiting, so that joined frames cannot be read in two ways."""
    return tag + _length(len(payload) & 0xFFFFFFFF) + payload


def _text(tag: bytes, value: str) -> bytes:
    return _frame(tag, value.encode("utf-8", "surrogatepass"))


def _encode_int(value: int) -> bytes:
    return _frame(b"i", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _encode_float(value: float) -> bytes:
    return b"f" + _float(value if value == value else _NAN)


def _encode_str(value: str) -> bytes:
    return _text(b"s", value)


def _encode_moment(value: datetime | time) -> bytes:
    return _text(b"t", f"{type(value).__name__} {value.isoformat()} {value.fold} {value.tzinfo}")


def _encode_span(value: timedelta) -> bytes:
    return _text(b"d", f"{value.days} {value.seconds} {value.microseconds}")


_PLAIN: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"0",
    type(Ellipsis): lambda _: b".",
    type(NotImplemented): lambda _: b"!",
    bool: lambda value: b"T" if value else b"F",
    int: _encode_int,
    float: _encode_float,
    complex: lambda value: b"c" + _encode_float(value.real) + _encode_float(value.imag),
    str: _encode_str,
    bytes: lambda value: _frame(b"b", value),
    bytearray: lambda value: _frame(b"B", bytes(value)),
    datetime: _encode_moment,
    time: _encode_moment,
    date: lambda value: _text(b"t", f"date {value.isoformat()}"),
    timedelta: _encode_span,
    Decimal: lambda value: _text(b"D", str(value)),
    Fraction: lambda value: _text(b"Q", str(value)),
    UUID: lambda value: _frame(b"u", value.bytes),
}


class _Walk:
    """One traversal. Containers become tag and hash; an object met again inside itself becomes the distance to it."""

    def __init__(self) -> None:
        self._path: dict[int, int] = {}
        # Objects are kept beside their encoding: an id is only theirs while they live.
        self._done: dict[int, tuple[Any, bytes]] = {}
        self._reach = _FAR

    def encode(self, obj: Any) -> bytes:
        plain = _PLAIN.get(type(obj))
        if plain is not None:
            return plain(obj)
        mark = id(obj)
        known = self._done.get(mark)
        if known is not None:
            return known[1]
        above = self._path.get(mark)
        if above is not None:
            self._reach = min(self._reach, above)
            return _text(b"^", str(len(self._path) - above))
        outer, self._reach = self._reach, _FAR
        here = self._path[mark] = len(self._path)
        try:
            encoded = b"#" + _hash(self._node(obj))
        finally:
            del self._path[mark]
        if self._reach >= here:  # whole in itself, so the same wherever it is met
            self._done[mark] = (obj, encoded)
            self._reach = outer
        else:
            self._reach = min(outer, self._reach)
        return encoded

    def _node(self, obj: Any) -> bytes:
        kind = type(obj)
        if kind is list or kind is tuple:
            return _text(b"L", kind.__name__) + self._all(obj)
        if kind is dict:
            return b"M" + self._pairs(obj.items())
        if isinstance(obj, set | frozenset):
            return _text(b"S", _type_name(kind)) + b"".join(sorted(map(self.encode, obj)))
        if isinstance(obj, FunctionType):
            return self._function(obj)
        if isinstance(obj, MethodType):
            return b"m" + self.encode(obj.__func__) + self.encode(obj.__self__)
        if isinstance(obj, type):
            return self._class(obj)
        if isinstance(obj, ModuleType):
            return _text(b"N", obj.__name__)
        if isinstance(obj, Enum):
            return _text(b"e", f"{_type_name(kind)}.{obj.name}") + self.encode(obj.value)
        if isinstance(obj, PurePath):
            return _text(b"p", f"{kind.__name__} {obj}")
        package = kind.__module__.partition(".")[0]
        if package == "numpy":
            encoded = self._numpy(obj)
        elif package == "pandas":
            encoded = self._pandas(obj)
        else:
            encoded = None
        return self._object(obj) if encoded is None else encoded

    def _all(self, parts: Iterable[Any]) -> bytes:
        return b"".join(map(self.encode, parts))

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> bytes:
        return b"".join(sorted(self.encode(key) + self.encode(value) for key, value in pairs))

    def _object(self, obj: Any) -> bytes:
        """By what pickle would keep: constructor arguments, state and items; names stand for code."""
        name = _text(b"O", _type_name(type(obj)))
        try:
            reducer = copyreg.dispatch_table.get(type(obj))
            reduced = reducer(obj) if reducer else obj.__reduce_ex__(2)
        except RecursionError:
            raise
        except Exception:
            return name
        if isinstance(reduced, str):
            wrapped = getattr(obj, "__wrapped__", None)
            return name + _text(b"N", _type_name(obj)) + (b"" if wrapped is None else self.encode(wrapped))
        made_by, args, state, items, pairs = (*reduced, None, None, None)[:5]
        shown = (_text(b"N", _type_name(arg)) if isinstance(arg, type) else self.encode(arg) for arg in args)
        return b"".join(
            (
                name,
                _text(b"N", _type_name(made_by)),
                _frame(b"a", b"".join(shown)),
                self.encode(state),
                _frame(b"l", self._all(items or ())),
                _frame(b"k", self._pairs(pairs or ())),
            )
        )

    def _function(self, function: FunctionType) -> bytes:
        source = normalised_source(function.__code__)
        said = _text(b"N", _type_name(function)) if source is None else _text(b"s", source)
        captured = captured_values(function)
        if not travels_by_value(function.__module__) and "<locals>" not in function.__qualname__:
            # A worker imports it, with whatever data its module holds there; the user's own helpers still count.
            captured = {name: value for name, value in captured.items() if isinstance(value, FunctionType)}
            if installed(function.__code__.co_filename):
                captured = {}
        parts = [b"F", said, self.encode(function.__defaults__), self.encode(function.__kwdefaults__)]
        parts += [_text(b"n", name) + self._captured(value) for name, value in sorted(captured.items())]
        return b"".join(parts)

    def _captured(self, value: Any) -> bytes:
        of_a_package = isinstance(value, FunctionType) and installed(value.__code__.co_filename)
        if of_a_package and not value.__closure__:
            return _text(b"N", _type_name(value))
        return self.encode(value)

    def _class(self, kind: type) -> bytes:
        name = _text(b"N", _type_name(kind))
        if not travels_by_value(kind.__module__):
            return name
        parts = [b"C", name, *(_text(b"N", _type_name(base)) for base in kind.__bases__)]
        for attribute, value in sorted(vars(kind).items()):
            value = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if isinstance(value, FunctionType) or not attribute.startswith("_"):
                parts.append(_text(b"n", attribute) + self._captured(value))
        return b"".join(parts)

    def _numpy(self, obj: Any) -> bytes | None:
        numpy: Any = sys.modules["numpy"]
        if isinstance(obj, numpy.generic) and not obj.dtype.hasobject:
            return _text(b"g", _dtype(obj.dtype)) + bytes(obj.tobytes())
        if type(obj) is not numpy.ndarray:
            return None
        head = _text(b"A", f"{_dtype(obj.dtype)} {obj.shape}")
        if obj.dtype.hasobject or obj.dtype.kind == "T":
            return head + self._all(obj.ravel().tolist())
        return head + _hash(numpy.ascontiguousarray(obj).reshape(-1).view(numpy.uint8))

    def _pandas(self, obj: Any) -> bytes | None:
        pandas: Any = sys.modules["pandas"]
        if isinstance(obj, pandas.DataFrame):
            columns = (self._column(obj.iloc[:, number].array) for number in range(obj.shape[1]))
            return b"P" + self._index(obj.columns) + self._index(obj.index) + b"".join(columns)
        if isinstance(obj, pandas.Series):
            return b"R" + self.encode(obj.name) + self._index(obj.index) + self._column(obj.array)
        if isinstance(obj, pandas.Index):
            return b"I" + self._index(obj)
        if isinstance(obj, pandas.Timestamp | pandas.Timedelta):
            zone = getattr(obj, "tzinfo", None)
            return _text(b"t", f"{type(obj).__name__} {obj.isoformat()} {zone}")
        return self._column(obj) if isinstance(obj, pandas.api.extensions.ExtensionArray) else None

    def _index(self, index: Any) -> bytes:
        levels = range(index.nlevels)
        return self.encode(tuple(index.names)) + b"".join(
            self._column(index.get_level_values(level).array) for level in levels
        )

    def _column(self, array: Any) -> bytes:
        """One pandas array: type, then numbers as they lie in memory where they do, else element by element."""
        head = _text(b"A", str(array.dtype))
        if hasattr(array, "codes") and hasattr(array, "categories"):
            return head + self.encode(array.codes) + self._index(array.categories) + self.encode(bool(array.ordered))
        if hasattr(array, "asi8"):
            return head + self.encode(array.asi8)
        if array.dtype.kind in "biufc" and hasattr(array.dtype, "str"):
            return head + self.encode(array.to_numpy())
        return head + self.encode(array.to_numpy(dtype=object).tolist())  # ten times faster than iterating


def _dtype(dtype: Any) -> str:
    return str(dtype.descr) if dtype.names else str(dtype.str)

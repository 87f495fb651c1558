"""Payloads of named types: Python values as JSON text, and JSON as what a type declares. Not for: pickles.

What is checked: the names of fields, what is missing or unknown, and simple types down to nested dataclasses. For more
than that declare a pydantic model.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from enum import Enum
from typing import Any
from uuid import UUID

from goque.errors import PayloadError, PayloadTooLarge

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_MOMENTS = (datetime, date, time)
_NUMBERS = frozenset("biuf")
"""What numpy calls booleans, whole numbers and fractions."""


def as_json(payload: Any, limit: int) -> str:
    """A payload as JSON text: plain values, dataclasses, pydantic models, dates in ISO format, UUIDs, enums,
    numbers of numpy.

    Raises:
        PayloadError: PostgreSQL's jsonb cannot hold it.
        PayloadTooLarge: over ``limit`` bytes.
    """
    try:
        text = json.dumps(payload, allow_nan=False, ensure_ascii=False, default=_plain)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"a payload is made of JSON values (text, numbers, lists, mappings): {error}") from None
    if _NUL.search(text):
        raise PayloadError("a payload cannot hold the NUL character, which PostgreSQL's JSON has no place for")
    if size > limit:
        raise PayloadTooLarge(
            f"the payload is larger than {limit:,} bytes; pass a path or the name of an object instead",
            size=size,
            limit=limit,
        )
    return text


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, _MOMENTS):
        if value != value:  # pandas' NaT, which counts as a datetime
            raise TypeError("a time that is missing is not among them, None is")
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if getattr(getattr(value, "dtype", None), "kind", None) in _NUMBERS and not value.shape:
        return value.item()  # a scalar of numpy, as rows of a DataFrame hold
    raise TypeError(f"a value of type {type(value).__name__} is not among them")


def is_payload_type(kind: Any) -> bool:
    """Whether ``fit`` can make it: a dataclass, a TypedDict or a pydantic model."""
    is_class = isinstance(kind, type)
    return is_class and (dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or hasattr(kind, "model_validate"))


def fit(value: Any, kind: Any) -> Any:
    """A JSON value as what the type declares; None declares nothing.

    Raises:
        PayloadError: it does not fit; the message names the field.
    """
    return value if kind is None else _fit(value, kind, "payload")


def _fit(value: Any, kind: Any, where: str) -> Any:
    if hasattr(kind, "model_validate"):
        try:
            return kind.model_validate(value)
        except ValueError as error:
            raise PayloadError(f"{where} does not fit {kind.__name__}: {error}") from None
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)):
        return _fit_fields(value, kind, where)
    origin = typing.get_origin(kind)
    if origin is not None:
        return _fit_generic(value, kind, origin, where)
    if kind is Any or not isinstance(kind, type):
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind in _MOMENTS or kind is UUID or issubclass(kind, Enum):
        return _made(value, kind, where)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind in (int, float)):
        raise _misfit(value, kind.__name__, where)
    return value


def _fit_fields(value: Any, kind: Any, where: str) -> Any:
    """A mapping as a dataclass or a TypedDict."""
    if not isinstance(value, dict):
        raise _misfit(value, kind.__name__, where)
    hints = _hints(kind)
    if typing.is_typeddict(kind):
        known = set(kind.__annotations__)
        # Asked of the hints: with annotations as text, the class itself does not know which are NotRequired.
        optional = {name for name in known if typing.get_origin(hints.get(name)) is typing.NotRequired}
        required = set(kind.__required_keys__) - optional
    else:
        fields = [field for field in dataclasses.fields(kind) if field.init]
        known = {field.name for field in fields}
        nothing = dataclasses.MISSING
        required = {field.name for field in fields if field.default is nothing and field.default_factory is nothing}
    if missing := sorted(required - set(value)):
        raise PayloadError(f"{where} lacks {', '.join(missing)} for {kind.__name__}")
    if unknown := sorted(set(value) - known):
        raise PayloadError(f"{where} has {', '.join(unknown)}, which {kind.__name__} does not know")
    fitted = {name: _fit(part, hints.get(name, Any), f"{where}.{name}") for name, part in value.items()}
    if typing.is_typeddict(kind):
        return fitted
    try:
        return kind(**fitted)
    except (TypeError, ValueError) as error:  # what its own __post_init__ refuses
        raise PayloadError(f"{where} does not fit {kind.__name__}: {error}") from error


def _fit_generic(value: Any, kind: Any, origin: Any, where: str) -> Any:
    inner = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _fit_one_of(value, inner, kind, where)
    if origin is typing.Literal:
        if value not in inner:
            raise PayloadError(f"{where} is {value!r}, and only {', '.join(map(repr, inner))} will do")
        return value
    if origin in (typing.Annotated, typing.Required, typing.NotRequired):
        return _fit(value, inner[0], where)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _misfit(value, "mapping", where)
        return {name: _fit(part, inner[1], f"{where}.{name}") for name, part in value.items()}
    if origin in (list, Sequence, set, frozenset) or (origin is tuple and inner[1:] == (...,)):
        if not isinstance(value, list):
            raise _misfit(value, "list", where)
        make: Callable[..., Any] = list if origin is Sequence else origin
        return make([_fit(part, inner[0], f"{where}[{place}]") for place, part in enumerate(value)])
    return value


def _fit_one_of(value: Any, kinds: Sequence[Any], kind: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    last: PayloadError | None = None
    for one in kinds:
        if one is type(None):
            continue
        try:
            return _fit(value, one, where)
        except PayloadError as error:
            last = error
    choices = [one for one in kinds if one is not type(None)]
    raise (last if last is not None and len(choices) == 1 else None) or _misfit(value, str(kind), where)


def _made(value: Any, kind: Any, where: str) -> Any:
    try:
        if kind in _MOMENTS:
            return kind.fromisoformat(value)
        return kind(value)
    except (TypeError, ValueError, AttributeError):
        raise _misfit(value, kind.__name__, where) from None


def _hints(kind: Any) -> dict[str, Any]:
    """The types of its fields; nothing where a name in them cannot be found, as may happen to a notebook's class."""
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _misfit(value: Any, wanted: str, where: str) -> PayloadError:
    return PayloadError(f"{where} is {_JSON_NAMES.get(type(value), type(value).__name__)}, not {wanted}")


_JSON_NAMES = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
_JSON_NAMES |= {int: "a whole number", float: "a number"}

"""Whether a function is what it was when it was last captured. Not for: comparing two functions (``digests``).

What is captured of a function follows from the objects that it is made of, and from those that it reads from around it.
Where none of them can change in place, the same objects mean the same capture. Where one can, such as a list or an
instance, nothing is said here, and the function is captured anew.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from goque.payload.origins import shipped_names, travels_by_value
from goque.payload.sources import captured_values

_FIXED = frozenset({int, float, complex, bool, str, bytes, type(None), type(Ellipsis)})


def parts_of(func: Any) -> list[Any] | None:
    """The objects that decide what is captured of a function; None where one of them may change in place."""
    if type(func) is not FunctionType:
        return None
    # An import adds to what is captured of a package; what is shipped travels in another way than before.
    parts: list[Any] = [len(sys.modules), len(shipped_names()), func]
    return parts if _gather(func, parts) else None


def same_parts(now: list[Any], before: list[Any]) -> bool:
    """Whether these are the very same objects."""
    return now[:2] == before[:2] and len(now) == len(before) and all(map(_is, now[2:], before[2:]))


def _is(one: Any, other: Any) -> bool:
    return one is other


def _gather(function: FunctionType, parts: list[Any]) -> bool:
    """Add what a function is made of; whether nothing of it can change in place."""
    parts += function.__code__, function.__defaults__, function.__module__, function.__qualname__, function.__doc__
    values = [*(function.__defaults__ or ()), *function.__dict__.values()]
    if function.__kwdefaults__:
        values += function.__kwdefaults__.values()
    # Of one that a worker imports only the helpers count, which its digest knows.
    is_whole = travels_by_value(function.__module__) or "<locals>" in function.__qualname__
    for name, value in captured_values(function).items():
        if is_whole or type(value) is FunctionType:
            parts.append(name)
            values.append(value)
    for value in values:
        is_known = any(value is part for part in parts)
        parts.append(value)
        if type(value) is FunctionType:
            if not is_known and not _gather(value, parts):
                return False
        elif not _is_fixed(value):
            return False
    return True


def _is_fixed(value: Any) -> bool:
    kind = type(value)
    if kind in _FIXED:
        return True
    if kind is tuple:
        return all(map(_is_fixed, value))
    if kind is ModuleType:
        return not travels_by_value(value.__name__)
    if kind is BuiltinFunctionType:
        return type(value.__self__) is ModuleType
    return kind is type and not travels_by_value(value.__module__) and "<locals>" not in value.__qualname__

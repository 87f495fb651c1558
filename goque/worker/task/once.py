"""``goque.once``: one session, model or connection per child. Not for: sharing anything between children."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

log = logging.getLogger("goque.worker")
T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    ready: bool = False
    value: Any = None
    factory: Any = None
    close: Callable[[Any], object] | None = None


_kept: dict[Hashable, _Kept] = {}
_guard = threading.Lock()


def once(factory: Callable[[], T], close: Callable[[T], object] | None = None) -> T:
    """What ``factory()`` returned when first called in this child; ``close(it)`` is called when the child retires.

    The same factory is one that does the same: a lambda written in the task's body counts as the same at every run, as
    long as the values it captures are equal. A factory that raises is tried again next time.
    """
    key = _identity(factory)
    with _guard:
        kept = _kept.setdefault(key, _Kept())
    with kept.lock:
        if not kept.ready:
            kept.value = factory()
            # The factory is held: its identity may rest on the ids of what it captures.
            kept.factory, kept.close, kept.ready = factory, close, True
        return kept.value  # type: ignore[no-any-return]


def close_all() -> None:
    """Close everything, the newest first; what fails is logged."""
    with _guard:
        newest_first = list(_kept.values())[::-1]
        _kept.clear()
    for kept in newest_first:
        if kept.ready and kept.close is not None:
            try:
                kept.close(kept.value)
            except Exception:
                log.exception("closing what goque.once kept failed")


def _identity(thing: Any) -> Hashable:
    """Equal for callables that do the same: same code, same defaults, same captured values."""
    if isinstance(thing, partial):
        items = tuple((name, _value(value)) for name, value in sorted(thing.keywords.items()))
        return ("partial", _identity(thing.func), tuple(map(_value, thing.args)), items)
    code = getattr(thing, "__code__", None)
    if code is None:
        return _value(thing)
    cells = tuple(_content(cell) for cell in thing.__closure__ or ())
    defaults = tuple(map(_value, thing.__defaults__ or ()))
    return (thing.__module__, thing.__qualname__, code, cells, defaults)


def _content(cell: Any) -> Hashable:
    try:
        return _value(cell.cell_contents)
    except ValueError:
        return "empty"


def _value(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return ("id", id(value))
    return (type(value), value)

"""Objects as bytes, bounded while they are encoded. Not for: whole functions, or signing.

Plain pickle where it works and means the same elsewhere; cloudpickle where plain pickle fails, or where the bytes refer
to a notebook, a script or a shipped module, which nobody else can import. `loads` runs what
the bytes say: verify first.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

from goque.errors import InvalidInput, NotSerializable, PayloadTooLarge, PythonMismatch
from goque.payload.origins import shippable, shipped_names
from goque.payload.sources import captured_values

DEFAULT_LIMIT = 128 * 1024 * 1024
PROTOCOL = 5
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"

_MAKE_INSIDE = (
    "Pass what it is made from (a path, an address, plain data) and make it inside the function; goque.once keeps one "
    "per worker process"
)
RETURN_DATA = "Return plain data (a list, not a generator), or the path or key of what was made"
"""Advice for a result."""

_SCALARS = frozenset({int, float, bool, complex, type(None)})
_TEXTS = frozenset({str, bytes})
_SMALL_TEXT = 65_536
_SMALL_COUNT = 8
_BLAME_DEPTH = 8
_BLAME_PARTS = 1000


class BoundedBuffer:
    """What a pickler writes to. It refuses the byte over the limit, so no more than that is ever held."""

    __slots__ = ("chunks", "keep", "limit", "overflowed", "size")

    def __init__(self, limit: int, *, keep: bool = True) -> None:
        self.limit = limit
        self.keep = keep
        self.size = 0
        self.overflowed = False
        self.chunks: list[bytes | pickle.PickleBuffer] = []

    def write(self, data: bytes | pickle.PickleBuffer, /) -> int:
        """Take one chunk of a pickle, a large array as it lies in memory, or refuse it."""
        size = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        self.size += size
        if self.size > self.limit:
            self.overflowed = True
            raise _TooMuch(self.size, self.limit)
        if self.keep:
            self.chunks.append(data)
        return size

    def take_buffer(self, buffer: pickle.PickleBuffer) -> bool:
        """Refuse a large array before it is copied; true keeps it in the stream."""
        size = self.size + buffer.raw().nbytes
        if size > self.limit:
            self.overflowed = True
            raise _TooMuch(size, self.limit)
        return True

    def value(self) -> bytes:
        """All that was written."""
        first = self.chunks[0]
        return first if len(self.chunks) == 1 and isinstance(first, bytes) else b"".join(self.chunks)


def dumps(obj: Any, limit: int = DEFAULT_LIMIT, *, name: str = "the value", advice: str = _MAKE_INSIDE) -> bytes:
    """``obj`` as bytes, at most ``limit`` of them.

    PayloadTooLarge as soon as there are more; NotSerializable when it cannot be pickled, naming what in it cannot.
    ``name`` is what messages call it, ``advice`` what they say to do about it.
    """
    if _is_small(obj):
        return _checked(pickle.dumps(obj, PROTOCOL), limit, name)
    try:
        data = _plain(obj, limit)
    except _TooMuch as error:
        raise _too_large(name, error) from None
    except Exception:
        data = None
    if data is not None and not _needs_code(data):
        return data
    try:
        return _by_value(obj, limit)
    except _TooMuch as error:
        raise _too_large(name, error) from None
    except Exception as error:
        raise _not_serializable([(name, obj)], error, advice) from error


def loads(data: bytes | memoryview) -> Any:
    """The object that ``dumps`` encoded. Only for bytes whose signature was verified."""
    return pickle.loads(data)


def encode_arguments(
    args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None, limit: int = DEFAULT_LIMIT
) -> bytes:
    """The arguments of one call as bytes; errors name the argument. Few scalars cost little more than pickle does."""
    if not kwargs and len(args) <= _SMALL_COUNT:
        for value in args:
            if not _is_small(value):
                break
        else:
            return _checked(pickle.dumps(args, PROTOCOL), limit, "the call's arguments")
    call: Any = [args, dict(kwargs)] if kwargs else args
    try:
        return dumps(call, limit, name="the call's arguments")
    except NotSerializable as error:
        raise _not_serializable(_named_arguments(args, kwargs or {}), error.__cause__ or error) from error.__cause__


def decode_arguments(data: bytes | memoryview) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments, as ``encode_arguments`` took them."""
    call = pickle.loads(data)
    if type(call) is tuple:
        return call, {}
    args, kwargs = call
    return args, kwargs


def ship(module: ModuleType) -> None:
    """Send this module, and the modules below it, by value with whatever uses them: workers need not have it."""
    if not isinstance(module, ModuleType):
        raise InvalidInput(f"ship takes an imported module, not {_type_name(module)}: import it, then q.ship(it)")
    if module.__name__ == "__main__" or module.__name__ not in sys.modules:
        return
    if not shippable(module):
        raise InvalidInput(f"{module.__name__} is compiled, so it cannot travel by value: install it where workers run")
    from goque.payload import bundle

    bundle.ship(module)


def is_portable(data: bytes | memoryview) -> bool:
    """Whether another Python minor version may load these bytes: they hold no code. Code may crash the interpreter."""
    return b"cloudpickle" not in (data if isinstance(data, bytes) else bytes(data))


def ensure_loadable(data: bytes | memoryview, python: str) -> None:
    """PythonMismatch when the bytes hold code of another Python minor version ("3.13") than this one."""
    if python != _HERE and not is_portable(data):
        raise PythonMismatch(
            f"only Python {python} can load this value, and this is Python {_HERE}: it holds code made there. Read it "
            "with that version, or return plain data",
            python=python,
        )


def encoded_size(obj: Any, limit: int) -> int:
    """How many bytes ``obj`` takes by value, without keeping them; ``limit`` + 1 when more."""
    sink = BoundedBuffer(limit, keep=False)
    try:
        _bundle(obj, sink)
    except _TooMuch:
        return limit + 1
    return sink.size


class _TooMuch(Exception):
    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit


def _is_small(value: Any) -> bool:
    """Whether it is plain data of so few parts that it may be pickled without watching the size."""
    kind = type(value)
    if kind in _SCALARS or (kind in _TEXTS and len(value) <= _SMALL_TEXT):
        return True
    if kind is dict:
        return len(value) <= _SMALL_COUNT and _all_scalar(value) and _all_scalar(value.values())
    return (kind is tuple or kind is list) and len(value) <= _SMALL_COUNT and _all_scalar(value)


def _all_scalar(parts: Iterable[Any]) -> bool:
    for part in parts:
        kind = type(part)
        if kind not in _SCALARS and (kind not in _TEXTS or len(part) > _SMALL_TEXT):
            return False
    return True


def _checked(data: bytes, limit: int, name: str) -> bytes:
    if len(data) > limit:
        raise _too_large(name, _TooMuch(len(data), limit))
    return data


# Picklers are kept because making one costs more than pickling a small argument. Lists hand out each of them once,
# so that threads, and a __reduce__ that encodes, get different ones.
_idle: list[tuple[BoundedBuffer, pickle.Pickler]] = []
_IDLE_LIMIT = 8


def _plain(obj: Any, limit: int) -> bytes:
    try:
        sink, pickler = _idle.pop()
    except IndexError:
        sink = BoundedBuffer(limit)
        pickler = pickle.Pickler(sink, PROTOCOL, buffer_callback=sink.take_buffer)
    sink.limit = limit
    pickler.dump(obj)
    data = sink.value()
    pickler.clear_memo()
    sink.chunks = []
    sink.size = 0
    if len(_idle) < _IDLE_LIMIT:
        _idle.append((sink, pickler))
    return data


def _by_value(obj: Any, limit: int) -> bytes:
    sink = BoundedBuffer(limit)
    _bundle(obj, sink)
    return sink.value()


def _bundle(obj: Any, sink: BoundedBuffer) -> None:
    from goque.payload.bundle import Bundler

    Bundler(sink, sink.take_buffer).dump(obj)


def _needs_code(data: bytes) -> bool:
    """Whether the bytes may refer to a module that others cannot import. A text that only says so costs some time."""
    if b"__main__" in data or b"__mp_main__" in data:
        return True
    return any(name in data for name in shipped_names())


def _too_large(name: str, error: _TooMuch) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{name}: over {readable_size(error.limit)} when pickled, which is the limit. Store it once "
        "with q.put(obj) and pass what that gives, or save the data to a file and pass its path",
        size=error.size,
        limit=error.limit,
    )


def readable_size(size: int) -> str:
    """A number of bytes for people."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} bytes"


def _not_serializable(
    roots: list[tuple[str, Any]], error: BaseException, advice: str = _MAKE_INSIDE
) -> NotSerializable:
    where, culprit = roots[0] if len(roots) == 1 else next((root for root in roots if not _pickles(root[1])), roots[0])
    return NotSerializable(explain(where, culprit, error, advice))


def explain(where: str, obj: Any, error: BaseException, advice: str = _MAKE_INSIDE) -> str:
    """Why ``obj``, called ``where``, cannot be pickled: the part of it that cannot, and what to do."""
    if isinstance(error.__cause__ or error, RecursionError):
        return f"{where} cannot be pickled: it is nested too deeply. Pass flat data, or a path to it"
    where, culprit = _blame(where, obj)
    uses = ", which uses " in where
    # "the function uses helper, which uses lock"
    told = where.replace(", which uses ", " uses ", 1)
    if isinstance(error, NotSerializable):
        return f"{told}: {error}" if uses or culprit is not obj else str(error)
    kind = _type_name(culprit)
    said = f"{told}, a {kind}, which cannot be pickled" if uses else f"{told} cannot be pickled: it is a {kind}"
    own = str(error)
    return said + ("" if own.lower().startswith("cannot pickle") else f" ({own})") + f". {advice}"


def _named_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    named = [(f"argument {number}", value) for number, value in enumerate(args, 1)]
    return [*named, *((f"argument {name}", value) for name, value in kwargs.items())] or [("the arguments", args)]


def _blame(where: str, obj: Any) -> tuple[str, Any]:
    """The innermost part that cannot be pickled, and the way to it."""
    for _ in range(_BLAME_DEPTH):
        for number, (step, part) in enumerate(_parts(obj)):
            if number == _BLAME_PARTS:
                return where, obj
            if not _pickles(part):
                where, obj = where + step, part
                break
        else:
            break
    return where, obj


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(obj))
    elif isinstance(obj, dict):
        yield from ((f"[{key!r:.60}]", part) for key, part in obj.items())
    elif isinstance(obj, FunctionType):
        yield from ((f", which uses {name}", part) for name, part in captured_values(obj).items())
    # What has a __reduce__ written in Python says itself why it does not travel.
    elif not isinstance(obj, type | ModuleType) and not isinstance(type(obj).__reduce__, FunctionType):
        yield from ((f".{name}", part) for name, part in getattr(obj, "__dict__", {}).items())


def _pickles(obj: Any) -> bool:
    sink = BoundedBuffer(DEFAULT_LIMIT, keep=False)
    try:
        _bundle(obj, sink)
    except _TooMuch:
        return True
    except Exception:
        return False
    return True


def _type_name(obj: Any) -> str:
    kind: Callable[..., Any] = type(obj)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

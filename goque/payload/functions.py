"""A callable and everything it carries, as data. Not for: comparing values, or checking calls.

`capture` runs where the work is submitted, `load` where it is done. The code bytes hold the callable and the source of
what travels by value, so that a traceback shows source lines on a machine that has no such file.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any

from goque.errors import InvalidInput, NotSerializable, PayloadTooLarge
from goque.payload.codec import DEFAULT_LIMIT, BoundedBuffer, dumps, encoded_size, explain, readable_size
from goque.payload.constancy import parts_of, same_parts
from goque.payload.digests import digest, type_and_module
from goque.payload.origins import is_local, travels_by_value
from goque.payload.refs import Ref, found
from goque.payload.sharing import Large, taken_out
from goque.payload.sources import SourceText, captured_values, dedented, register_source, source_of

__all__ = [
    "CODE_LIMIT",
    "CapturedFunction",
    "capture",
    "code_hash",
    "encode",
    "load",
    "python_version",
    "register_source",
]

CODE_LIMIT = 16 * 1024 * 1024
KEPT = 64
"""Captured functions that are remembered."""
_CAPTURED_SHOWN = 8
# Whatever is smaller cannot be what made a function large.
_MEASURED_FROM = 4096
# By the id of the function, which is the first of its parts: while they are here it is nobody else's.
_known: dict[int, tuple[list[Any], CapturedFunction]] = {}


@dataclass(frozen=True, slots=True)
class CapturedFunction:
    """A callable as it is stored and compared.

    ``hash`` addresses the content; ``source_key`` is the same for the same function in every kernel. ``captured`` are
    the largest values it carries, in bytes; ``modules`` the top-level packages it needs, of which ``local_modules``
    lie in the user's own folders and are not installed. ``large`` is what the code only names, to be stored apart.
    """

    hash: str
    code: bytes = field(repr=False)
    name: str
    source: str | None = field(repr=False)
    filename: str
    first_line: int
    python: str
    is_coroutine: bool
    closure_size: int
    captured: dict[str, int]
    source_key: str
    modules: tuple[str, ...]
    local_modules: tuple[str, ...]
    large: tuple[Large, ...] = field(default=(), repr=False)


def capture(func: Callable[..., Any], share_from: int | None = None) -> CapturedFunction:
    """Everything about a callable that has to be stored, what it captures of more than ``share_from`` bytes apart.

    A function that cannot have changed since it was captured is not looked into again, so that many single tasks of
    one function cost little each.

    InvalidInput for what is not callable or is a generator, NotSerializable, or PayloadTooLarge over 16 MiB.
    """
    parts = parts_of(func)
    if parts is None:
        return _capture(func, share_from)
    known = _known.get(id(func))
    if known is not None and same_parts(parts, known[0]) and known[1].closure_size <= (share_from or CODE_LIMIT):
        return known[1]
    captured = _capture(func, share_from)
    if captured.large:  # what it names has to be noted, and stored, each time
        return captured
    if len(_known) >= KEPT:
        _known.clear()
    _known[id(func)] = (parts, captured)
    return captured


def _capture(func: Callable[..., Any], share_from: int | None) -> CapturedFunction:
    _refuse(func)
    code, size, modules = encode(func)
    large: dict[int, Large] = {}
    if share_from is not None and size > share_from:
        large = taken_out((value for _, value in _carried(func, set())), share_from)
        if large:
            code, _, _ = encode(func, {place: one.ref for place, one in large.items()})
    python = python_version()
    source = _source(func)
    return CapturedFunction(
        hash=code_hash(code, python),
        code=code,
        name=_name(func),
        source=dedented(source.text) if source else None,
        filename=source.filename if source else "",
        first_line=source.first_line if source else 0,
        python=python,
        is_coroutine=inspect.iscoroutinefunction(_innermost(func)),
        closure_size=size,
        captured=_captured_sizes(func) if size > _MEASURED_FROM else {},
        source_key=digest(func).hex(),
        modules=modules,
        local_modules=tuple(name for name in modules if is_local(name)),
        large=tuple(large.values()),
    )


def load(code: bytes | memoryview) -> Callable[..., Any]:
    """The callable in code bytes, its source made known to tracebacks. Only for bytes whose signature was verified."""
    stream = io.BytesIO(code)
    func: Callable[..., Any] = _Loader(stream).load()
    for text, filename, first_line in pickle.load(stream):
        register_source(text, filename, first_line)
    return func


class _Loader(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return found(*pid)


def code_hash(code: bytes | memoryview, python: str) -> str:
    """The address of code bytes made by this Python minor version: 64 hex characters."""
    content = hashlib.sha256(python.encode() + b"\0")
    content.update(code)
    return content.hexdigest()


def python_version() -> str:
    """This Python's minor version, as "3.13": code made by one minor version crashes another."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def encode(func: Any, apart: Mapping[int, Ref] | None = None) -> tuple[bytes, int, tuple[str, ...]]:
    """Bytes for ``load``, how many of them are not source text, and the modules they need.

    The values of the ids in ``apart`` are left out for what stands for them.

    NotSerializable, or PayloadTooLarge over 16 MiB.
    """
    from goque.payload.bundle import Bundler, Parting

    sink = BoundedBuffer(CODE_LIMIT)
    if apart is None:
        bundler = Bundler(sink, sink.take_buffer, note_sources=True)
    else:
        bundler = Parting(sink, sink.take_buffer, apart)
    try:
        bundler.dump(func)
    except Exception as error:
        if sink.overflowed:
            raise _too_large(func) from None
        raise _not_serializable(func, error) from error
    code = sink.value()
    sources = dumps(bundler.shown_sources())
    return code + sources, len(code), tuple(sorted(bundler.modules))


def _too_large(func: Callable[..., Any]) -> PayloadTooLarge:
    sizes = _captured_sizes(func)
    blamed = "".join(f", most of it in {name} ({readable_size(size)})" for name, size in list(sizes.items())[:1])
    remedy = "give it as an argument instead: with kwargs= (stored once per batch), or as q.put(it), stored once"
    if max(sizes.values(), default=0) > DEFAULT_LIMIT:
        remedy = "save the data to a file and pass its path"
    return PayloadTooLarge(
        f"{_name(func)} carries over {readable_size(CODE_LIMIT)}{blamed}: {remedy}",
        size=max([CODE_LIMIT + 1, *sizes.values()]),
        limit=CODE_LIMIT,
    )


def _not_serializable(func: Callable[..., Any], error: Exception) -> NotSerializable:
    return NotSerializable(f"{_name(func)} cannot be sent to a worker: {explain('the function', func, error)}")


def _refuse(func: Any) -> None:
    if not callable(func):
        kind = type(func).__name__
        raise InvalidInput(f"a task runs a function, and this is a value of type {kind}: pass f itself, not f(...)")
    inner = _innermost(func)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise InvalidInput(
            f"{_name(func)} returns a generator, which cannot be stored: return a list, for example list(...) of it"
        )


def _innermost(func: Any) -> Any:
    """The function whose kind decides: inside partials, and the ``__call__`` of an object."""
    while isinstance(func, functools.partial):
        func = func.func
    is_object = not isinstance(func, type) and not inspect.isroutine(func)
    return getattr(func, "__call__", func) if is_object else func  # noqa: B004 - its kind is asked for, not whether


def _name(func: Any) -> str:
    while isinstance(func, functools.partial):
        func = func.func
    if isinstance(func, MethodType):
        return type_and_module(func.__func__)
    return type_and_module(func)


def _source(func: Any) -> SourceText | None:
    """Of the user's function, not of what a decorator put around it."""
    inner = inspect.unwrap(_innermost(func))
    inner = inner.__func__ if isinstance(inner, MethodType) else inner
    if isinstance(inner, type):
        inner = vars(inner).get("__call__") or vars(inner).get("__init__")
    return source_of(inner.__code__) if isinstance(inner, FunctionType) else None


def _captured_sizes(func: Any) -> dict[str, int]:
    """What it carries by name, the largest first."""
    sizes: dict[str, int] = {}
    for name, value in _carried(func, set()):
        size = encoded_size(value, 1 << 30)
        sizes[name] = max(size, sizes.get(name, 0))
    largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return dict(largest[:_CAPTURED_SHOWN])


def _carried(func: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(func) in seen:
        return
    seen.add(id(func))
    if isinstance(func, functools.partial):
        yield from ((f"argument {number}", value) for number, value in enumerate(func.args, 1))
        yield from func.keywords.items()
        yield from _carried(func.func, seen)
    elif isinstance(func, MethodType):
        yield "self", func.__self__
        yield from _carried(func.__func__, seen)
    elif isinstance(func, FunctionType):
        if travels_by_value(func.__module__) or "<locals>" in func.__qualname__:
            yield from _carried_by(func, seen)
    elif not isinstance(func, type):
        yield from getattr(func, "__dict__", {}).items()


def _carried_by(func: FunctionType, seen: set[int]) -> Iterator[tuple[str, Any]]:
    parameters = inspect.signature(func).parameters.values()
    yield from ((item.name, item.default) for item in parameters if item.default is not item.empty)
    for name, value in captured_values(func).items():
        if isinstance(value, FunctionType):
            yield from _carried(value, seen)
        else:
            yield name, value

"""Pickling by value, with cloudpickle: code of notebooks, scripts and shipped modules. Not for: plain data (``codec``).

Imported at first use only, because it loads cloudpickle.
"""

from __future__ import annotations

import functools
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any, Protocol

import cloudpickle

from goque.payload.origins import note_shipped, travels_by_value
from goque.payload.refs import Ref
from goque.payload.sources import SourceText, source_of, stable_filename

_SOURCES_LIMIT = 256 * 1024
# Every Python has these, and every worker has goque and what goque needs.
_EVERYWHERE = frozenset({*sys.stdlib_module_names, "builtins", "__main__", "__mp_main__", "cloudpickle", "goque"})


# Pickle knows these by name only, and no worker has the names of a notebook.
_CACHED = type(functools.cache(len))


class Sink(Protocol):
    """Where a pickler writes."""

    def write(self, data: bytes | pickle.PickleBuffer, /) -> int: ...


class Bundler(cloudpickle.Pickler):  # type: ignore[misc]
    """A cloudpickle pickler that gives notebook cells stable names and notes what the bytes depend on.

    ``modules`` are the top-level modules needed by reference; ``sources``, where asked for, the source of the code
    that travels by value.
    """

    def __init__(self, sink: Sink, buffer_callback: Any = None, *, note_sources: bool = False) -> None:
        self.modules: set[str] = set()
        self.sources: dict[tuple[str, int], SourceText] = {}
        # No method of this pickler: a cycle would keep what it pickled until the next collection. The C pickler looks
        # its table up once, while it is initialised.
        reduce_code = functools.partial(_reduce_code, self.sources if note_sources else None)
        self.dispatch_table = ChainMap({CodeType: reduce_code}, cloudpickle.Pickler.dispatch_table)
        super().__init__(sink, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=buffer_callback)

    def reducer_override(self, obj: Any) -> Any:
        """Called for every object that is not plain data; notes the modules of what goes by reference."""
        if isinstance(obj, _CACHED) and travels_by_value(obj.__module__):
            return _cached, (obj.__wrapped__, obj.cache_parameters())
        reduced = super().reducer_override(obj)
        if isinstance(obj, ModuleType):
            self._note(obj.__name__)
        elif isinstance(obj, type | FunctionType):
            if reduced is NotImplemented:
                self._note(obj.__module__)
        elif reduced is NotImplemented and getattr(obj, "__qualname__", getattr(obj, "__name__", None)) is not None:
            self._note(getattr(obj, "__module__", None) or type(obj).__module__)
        return reduced

    def _note(self, module: str | None) -> None:
        top = (module or "builtins").partition(".")[0]
        if top not in _EVERYWHERE and module is not None and not travels_by_value(module):
            self.modules.add(top)

    def shown_sources(self) -> tuple[tuple[str, str, int], ...]:
        """The sources noted, as arguments of ``register_source``, as many as are worth their bytes."""
        shown: list[tuple[str, str, int]] = []
        room = _SOURCES_LIMIT
        for source in self.sources.values():
            room -= len(source.text)
            if room >= 0:
                shown.append((source.text, source.filename, source.first_line))
        return tuple(shown)


class Parting(Bundler):
    """Leaves out the values of these ids, and names the Refs that stand for them."""

    def __init__(self, sink: Sink, buffer_callback: Any, apart: Mapping[int, Ref]) -> None:
        self._apart = apart
        super().__init__(sink, buffer_callback, note_sources=True)

    def persistent_id(self, obj: Any) -> Any:
        """Called for every object: what stands for it, None for itself."""
        ref = self._apart.get(id(obj))
        return None if ref is None else ref.noted()


def _reduce_code(sources: dict[tuple[str, int], SourceText] | None, code: CodeType) -> Any:
    source = source_of(code) if sources is not None else None
    if sources is not None and source is not None:
        sources[source.filename, source.first_line] = source
    filename = stable_filename(code.co_filename)
    if filename != code.co_filename:
        code = code.replace(co_filename=filename)
    make, facts = cloudpickle.Pickler.dispatch_table[CodeType](code)
    # From 3.1.3 on cloudpickle gives all code one name, by which no line of a traceback is found.
    return make, tuple(filename if fact == "<dynamic-code>" else fact for fact in facts)


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    """A function under ``functools.lru_cache``, with an empty cache, on the other side."""
    wrapped: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return wrapped


def ship(module: ModuleType) -> None:
    """Let code of this module, and of the modules below it, travel by value from now on."""
    cloudpickle.register_pickle_by_value(module)
    note_shipped(module.__name__)

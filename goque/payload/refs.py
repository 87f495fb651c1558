"""Objects that are stored once and shared: their bytes, and the ``Ref`` that stands for one. Not for: storing them.

The bytes are a pickle and, apart from it, the buffers of large arrays, each where a page of memory may begin to be used
in place. So children that map the same file share one copy. In a process that runs tasks a ``Ref`` unpickles as the
object itself; elsewhere it stays a ``Ref``.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import pickle
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from goque.errors import InvalidInput, NotSerializable, PayloadTooLarge, SignatureInvalid
from goque.payload.codec import BoundedBuffer, explain, readable_size

P = ParamSpec("P")
T = TypeVar("T")

LIMIT = 4 * 1024**3
"""Bytes of one object at most."""
KEPT = 64
"""Objects that a process keeps loaded, those used last; what is mapped costs it no memory of its own."""
_ALIGNED = 64
_COUNT = struct.Struct("=8sQ")
_MAGIC = b"goque 01"

_thread = threading.local()


@dataclass(frozen=True, slots=True)
class Ref:
    """An object that ``q.put`` has stored. Pass it wherever the object would go: tasks are given the object.

    ``digest`` names the content, ``size`` is in bytes, ``type`` is that of the object. An ``automatic`` one stands
    for a value that was given as it is, and was found to be large.
    """

    digest: str
    size: int
    type: str
    automatic: bool = field(default=False, compare=False)
    _fetch: Callable[[Ref], Any] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"<Ref {self.digest[:12]}: {self.type}, {readable_size(self.size)}>"

    def get(self) -> Any:
        """The object itself, read from the database.

        Raises:
            InvalidInput: this Ref came out of a pickle; those of a queue and its tasks can be asked.
            ResultExpired: the object was cleaned away.
        """
        if self._fetch is None:
            raise InvalidInput("this Ref came out of a pickle and has no queue; ask the one that q.put gave")
        return self._fetch(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return found, self.noted()

    def noted(self) -> tuple[Any, ...]:
        """What a pickle holds of it; noted as being used."""
        used().add(self.digest)
        facts = (self.digest, self.size, self.type)
        return (*facts, True) if self.automatic else facts

    def asking(self, fetch: Callable[[Ref], Any]) -> Ref:
        """The same, which can be asked for the object."""
        return replace(self, _fetch=fetch)


class collected:  # noqa: N801 - used as a block, and too often for a generator
    """The digests of all objects that are pickled as a ``Ref`` by this thread in the block."""

    __slots__ = ("_before",)

    def __enter__(self) -> set[str]:
        self._before: set[str] | None = getattr(_thread, "used", None)
        _thread.used = digests = set[str]()
        return digests

    def __exit__(self, *_: object) -> None:
        _thread.used = self._before


def collecting(function: Callable[P, T]) -> Callable[P, T]:
    """The function, run in ``collected``."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with collected():
            return function(*args, **kwargs)

    return wrapped


def used() -> set[str]:
    """The digests collected so far; a set of no consequence outside of ``collected``."""
    found: set[str] | None = getattr(_thread, "used", None)
    return set() if found is None else found


@contextmanager
def resolved(fetch: Callable[[Ref], Any]) -> Iterator[None]:
    """What this thread unpickles in the block has objects in the place of their Refs, as a task is given them."""
    before, _thread.fetch = getattr(_thread, "fetch", None), fetch
    try:
        yield
    finally:
        _thread.fetch = before


# Where tasks run

_paths: dict[str, str] = {}
_loaded: dict[str, Any] = {}
_lock = threading.RLock()
"""Of one's own thread again, since what is loaded may name other objects."""


def shelve(paths: Mapping[str, str]) -> None:
    """Make objects known to this process, by the files that hold them."""
    _paths.update(paths)


def found(digest: str, size: int, type: str, automatic: bool = False) -> Any:
    """What a pickled ``Ref`` becomes: the object, where it is known, and loaded once."""
    if digest not in _paths:
        fetch: Callable[[Ref], Any] | None = getattr(_thread, "fetch", None)
        ref = Ref(digest, size, type, automatic)
        return ref if fetch is None else fetch(ref)
    with _lock:
        obj = _loaded.pop(digest) if digest in _loaded else _opened(_paths[digest])
        _loaded[digest] = obj
        while len(_loaded) > KEPT:
            del _loaded[next(iter(_loaded))]
    return obj


def _opened(path: str) -> Any:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return decode(memoryview(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)))
    finally:
        os.close(descriptor)


# Bytes


@dataclass(frozen=True, slots=True)
class Content:
    """An object as bytes, in pieces that lie where they lay."""

    pieces: Sequence[bytes | memoryview]
    size: int
    digest: str

    def parts(self, size: int) -> Iterator[bytes]:
        """All bytes, ``size`` at a time."""
        part = bytearray()
        for piece in self.pieces:
            view = memoryview(piece)
            while len(view):
                room = size - len(part)
                part += view[:room]
                view = view[room:]
                if len(part) == size:
                    yield bytes(part)
                    part.clear()
        if part:
            yield bytes(part)


def encode(obj: Any, limit: int = LIMIT) -> Content:
    """An object as bytes.

    Raises:
        NotSerializable, PayloadTooLarge: it cannot be stored.
    """
    from goque.payload.bundle import Bundler

    sink, buffers = BoundedBuffer(limit), list[pickle.PickleBuffer]()
    try:
        Bundler(sink, buffers.append).dump(obj)
    except Exception as error:
        if sink.overflowed:
            raise _too_large(sink.size, limit) from None
        raise NotSerializable(explain("the object", obj, error)) from error
    raws = [memoryview(sink.value()), *(buffer.raw() for buffer in buffers)]
    pieces: list[bytes | memoryview] = [_COUNT.pack(_MAGIC, len(raws)) + struct.pack(f"={len(raws)}Q", *map(len, raws))]
    for raw in raws:
        pieces += [bytes(-len(pieces[-1]) % _ALIGNED), raw]
    size = sum(map(len, pieces))
    if size > limit:
        raise _too_large(size, limit)
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return Content(pieces, size, digest.hexdigest())


def decode(data: memoryview) -> Any:
    """The object of these bytes; arrays lie where the bytes do. Only for bytes that were verified."""
    magic, count = _COUNT.unpack_from(data)
    if magic != _MAGIC:
        raise InvalidInput("these bytes are no stored object of this version")
    at = _COUNT.size
    lengths = struct.unpack_from(f"={count}Q", data, at)
    at += 8 * count
    raws = []
    for length in lengths:
        at += -at % _ALIGNED
        raws.append(data[at : at + length])
        at += length
    return pickle.loads(raws[0], buffers=raws[1:])


def verified(digest: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of an object, passed on as they come.

    Raises:
        SignatureInvalid: at the end, when they are not what its digest names.
    """
    content = hashlib.sha256()
    for piece in pieces:
        content.update(piece)
        yield piece
    if content.hexdigest() != digest:
        raise SignatureInvalid(
            f"the object {digest[:12]} is not what was put and signed: its bytes were changed; it was not loaded"
        )


def kind_of(obj: Any) -> str:
    """What a ``Ref`` says of the type of its object."""
    return f"{type(obj).__module__}.{type(obj).__qualname__}"[:500]


def _too_large(size: int, limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the object takes over {readable_size(limit)}, which is the limit; save it to a file and pass its path",
        size=size,
        limit=limit,
    )

"""Finding what is large in shared arguments and in what a function captures. Not for: storing it (``client.objects``).

A large value is taken out, and a ``Ref`` that stands for it goes in its place. The user gave a value, so nobody but the
database is to notice: such a ``Ref`` is ``automatic``, and whoever asks for a task's arguments is given the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from goque.errors import GoqueError
from goque.payload import codec, refs
from goque.payload.refs import Content, Ref


class Large(NamedTuple):
    """A value that is to be stored apart, as bytes, and what stands for it."""

    ref: Ref
    content: Content


class Parted(NamedTuple):
    """Keyword arguments with Refs in the place of large values, and these."""

    kwargs: Mapping[str, Any]
    large: tuple[Large, ...]


def parted(kwargs: Mapping[str, Any], least: int | None, limit: int = codec.DEFAULT_LIMIT) -> Parted:
    """Keyword arguments without values of more than ``least`` bytes each; None takes none out.

    Raises:
        NotSerializable, PayloadTooLarge: they cannot be stored, whichever way.
    """
    if least is None or not kwargs or len(codec.encode_arguments((), kwargs, limit)) <= least:
        return Parted(kwargs, ())
    found = {name: large for name, value in kwargs.items() for large in taken_out([value], least).values()}
    return Parted({**kwargs, **{name: large.ref for name, large in found.items()}}, tuple(found.values()))


def taken_out(values: Iterable[Any], least: int) -> dict[int, Large]:
    """Those of more than ``least`` bytes, by their ``id``: none that is code, and none that holds a ``Ref`` itself."""
    return {id(value): large for value in values for large in _large(value, least)}


def _large(value: Any, least: int) -> Iterator[Large]:
    if isinstance(value, type | ModuleType | Ref) or codec.encoded_size(value, least) <= least:
        return
    with refs.collected() as inside:
        try:
            content = refs.encode(value)
        except GoqueError:
            return  # whoever stores all of it says why
    if not inside:
        yield Large(Ref(content.digest, content.size, refs.kind_of(value), automatic=True), content)

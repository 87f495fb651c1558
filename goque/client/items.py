"""The items of a map, whatever iterable they come from. Not for: turning them into bytes (``client.rows``)."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any

from goque.errors import InvalidInput
from goque.payload.codec import decode_arguments, encode_arguments
from goque.payload.refs import collected

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and keyword arguments of one call."""


@dataclass(frozen=True, slots=True)
class Items:
    """The calls of one map, to be read once.

    ``total`` is their number where it is known before reading; ``instant`` says that reading runs no code of the
    user's, so that it may happen while a transaction is open.
    """

    calls: Iterator[Call]
    total: int | None
    instant: bool

    def peeked(self) -> tuple[Call | None, Items]:
        """The first call, None if there is none, and all of them still to be read."""
        first = next(self.calls, None)
        if first is None:
            return None, self
        # An iterator lets go of its list at the end; the chain would keep the list, and the first call, until its own.
        return first, Items(itertools.chain(iter([first]), self.calls), self.total, self.instant)

    def tried(self, func: Callable[..., Any], kwargs: Mapping[str, Any], number: int) -> list[Any]:
        """What the function returns here and now for the first ``number`` of them."""
        shared = _loaded((), kwargs)[1]
        calls = (_loaded(*call) for call in itertools.islice(self.calls, number))
        return [func(*args, **{**shared, **own}) for args, own in calls]


def _loaded(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of a call; where Refs are in them, as a task loads them."""
    with collected() as used:
        stored = encode_arguments(args, kwargs)
    return decode_arguments(stored) if used else (args, kwargs)


def zipped(iterables: tuple[Any, ...], *, strict: bool) -> Items:
    """One call per item, arguments taken side by side from each iterable as ``zip`` does.

    Raises:
        InvalidInput: no iterable, one that is almost certainly a mistake, or sized ones of unequal length.
    """
    if not iterables:
        raise InvalidInput("map needs at least one iterable of items: q.map(func, items)")
    for iterable in iterables:
        _refuse_mistakes(iterable)
    lengths = [len(iterable) for iterable in iterables if isinstance(iterable, Sized)]
    if strict and len(set(lengths)) > 1:
        raise InvalidInput(
            f"the iterables have unequal lengths {lengths}; make them equal, or pass strict=False to stop at the "
            "shortest"
        )
    total = min(lengths) if len(lengths) == len(iterables) else None
    instant = all(map(_is_plain, iterables))
    try:
        if len(iterables) == 1:
            calls = (((item,), _NO_KEYWORDS) for item in iter(iterables[0]))
        else:
            calls = ((arguments, _NO_KEYWORDS) for arguments in zip(*iterables, strict=strict))
    except TypeError:
        wrong = next(type(one).__name__ for one in iterables if not isinstance(one, Iterable))
        raise InvalidInput(f"map takes iterables of items, not {wrong}; for one call use q.submit(func, x)") from None
    return Items(calls, total, instant)


def refuse_swapped(func: object, iterables: tuple[Any, ...]) -> None:
    """
    Raises:
        InvalidInput: the items came first and the function after them.
    """
    if not callable(func) and any(map(callable, iterables)):
        raise InvalidInput("the function comes first: q.map(func, items)")


def starred(rows: Any) -> Items:
    """One call per row: a tuple or list becomes positional arguments, a mapping keyword arguments.

    A DataFrame gives its rows as keyword arguments named by its columns.
    """
    if is_frame(rows):
        columns = [str(column) for column in rows.columns]
        values = (((), dict(zip(columns, row, strict=True))) for row in rows.itertuples(index=False, name=None))
        return Items(values, len(rows), True)
    if isinstance(rows, (str, bytes, Mapping)):
        raise InvalidInput(f"starmap takes rows (tuples, mappings or a DataFrame), not one {type(rows).__name__}")
    if not isinstance(rows, Iterable):
        raise InvalidInput(f"starmap takes rows (tuples, mappings or a DataFrame), not {type(rows).__name__}")
    return Items(map(_row, rows), len(rows) if isinstance(rows, Sized) else None, type(rows) in (list, tuple))


def grid(**axes: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the values of each parameter, as rows for ``starmap``; the last one varies fastest.

    >>> grid(lr=[0.1, 0.2], depth=[3])
    [{'lr': 0.1, 'depth': 3}, {'lr': 0.2, 'depth': 3}]
    """
    rows: list[dict[str, Any]] = [{}]
    for name, values in axes.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise InvalidInput(f"grid takes a list of values per parameter; for one value write {name}=[{values!r}]")
        choices = list(values)
        rows = [{**row, name: choice} for row in rows for choice in choices]
    return rows if axes else []


def is_frame(candidate: object) -> bool:
    """Whether this is a pandas DataFrame, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(candidate, pandas.DataFrame)


_NO_KEYWORDS: dict[str, Any] = {}


def _row(row: Any) -> Call:
    if isinstance(row, Mapping):
        for key in row:
            if not isinstance(key, str):
                raise InvalidInput(f"a mapping row gives keyword arguments, so its keys are names; got {key!r}")
        return (), dict(row)
    if isinstance(row, (tuple, list)):
        return tuple(row), _NO_KEYWORDS
    raise InvalidInput(
        f"a row of starmap is a tuple (positional arguments) or a mapping (keyword arguments), not "
        f"{type(row).__name__}; for one argument per call use q.map"
    )


def _refuse_mistakes(iterable: Any) -> None:
    if isinstance(iterable, (str, bytes, bytearray)):
        kind = type(iterable).__name__
        raise InvalidInput(f"map over a {kind} would make a task per character; pass a list, for example [value]")
    if isinstance(iterable, Mapping):
        raise InvalidInput(
            "map over a dict would take its keys only; pass d.keys(), d.values(), or q.starmap(func, d.items())"
        )
    if is_frame(iterable):
        raise InvalidInput(
            "map over a DataFrame would take its column names; pass a column (df['x']), or its rows with "
            "q.starmap(func, df)"
        )
    if not isinstance(iterable, Iterable):
        raise InvalidInput(
            f"map takes iterables of items, not {type(iterable).__name__}; for one call use q.submit(func, x)"
        )


def _is_plain(iterable: Any) -> bool:
    """Whether iterating runs no user code: built-in sequences, numpy arrays, pandas columns."""
    if type(iterable) in (list, tuple, range):
        return True
    for module, names in (("numpy", ("ndarray",)), ("pandas", ("Series", "Index"))):
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(iterable, tuple(getattr(loaded, name) for name in names)):
            return True
    return False

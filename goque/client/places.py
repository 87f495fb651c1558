"""Which ids a user means by a place, a slice, a list of places or a mask. Not for: what the ids stand for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import index
from typing import Any

from goque.client.spans import Span, size_of, spans_of
from goque.model.wording import number_of


def one_at(spans: Sequence[Span], place: int) -> int:
    """The id at a place, which may be counted from the end; IndexError where there is none."""
    return next(_ids_at(spans, [_from_front(place, size_of(spans))]))


def some_at(spans: Sequence[Span], key: Any) -> list[Span]:
    """The ids of a slice, a list of places, or a mask as long as the spans; IndexError where there are none."""
    size = size_of(spans)
    if not isinstance(key, slice):
        # Text is an iterable of texts, and what is none is named as it was given.
        given = list(key) if isinstance(key, Iterable) and not isinstance(key, str) else [key]
        return spans_of(_ids_at(spans, _places(given, size)))
    places = range(*key.indices(size))
    return _cut(spans, places.start, places.stop) if places.step == 1 else spans_of(_ids_at(spans, places))


def _places(given: list[Any], size: int) -> list[int]:
    if given and all(type(one).__name__ in ("bool", "bool_") for one in given):
        if len(given) != size:
            raise IndexError(f"a mask has a value for each task, {size:,} and not {len(given):,}")
        return [place for place, chosen in enumerate(given) if chosen]
    return [_from_front(one, size) for one in given]


def _from_front(given: Any, size: int) -> int:
    try:
        place = index(given)
    except TypeError:
        raise TypeError(f"a batch is indexed by place, slice, list of places or mask, not by {given!r}") from None
    if not -size <= place < size:
        raise IndexError(f"the batch has {number_of(size, 'task')}, so there is no place {place}")
    return place % size


def _ids_at(spans: Sequence[Span], places: Iterable[int]) -> Iterator[int]:
    starts = [0, *accumulate(last - first + 1 for first, last in spans)]
    for place in places:
        span = bisect_right(starts, place) - 1
        yield spans[span][0] + place - starts[span]


def _cut(spans: Iterable[Span], start: int, stop: int) -> list[Span]:
    """The ids from one place to before another, without making them one by one."""
    cut = []
    for first, last in spans:
        low, high = first + max(start, 0), min(last, first + stop - 1)
        if low <= high:
            cut.append((low, high))
        start -= last - first + 1
        stop -= last - first + 1
    return cut

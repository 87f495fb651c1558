"""Ids as ranges, since a batch is one. Not for: what the ids stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

Span = tuple[int, int]
"""First and last id, both included."""


def spans_of(ids: Iterable[int]) -> list[Span]:
    """These ids as ranges, in order."""
    spans: list[Span] = []
    for one in sorted(ids):
        if spans and one == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], one)
        elif not spans or one > spans[-1][1]:
            spans.append((one, one))
    return spans


def size_of(spans: Iterable[Span]) -> int:
    """How many ids there are."""
    return sum(last - first + 1 for first, last in spans)


def ids_of(spans: Iterable[Span]) -> Iterator[int]:
    """The ids one by one."""
    for first, last in spans:
        yield from range(first, last + 1)


def head(spans: Sequence[Span], most: int) -> list[Span]:
    """The first ``most`` ids."""
    taken: list[Span] = []
    for first, last in spans:
        if most <= 0:
            break
        last = min(last, first + most - 1)
        taken.append((first, last))
        most -= last - first + 1
    return taken


def without(spans: Sequence[Span], ids: Sequence[int]) -> list[Span]:
    """The ranges less these ids, which are sorted."""
    left: list[Span] = []
    at = 0
    for position, (first, last) in enumerate(spans):
        if at >= len(ids):
            left.extend(spans[position:])
            break
        while at < len(ids) and ids[at] <= last:
            if ids[at] > first:
                left.append((first, ids[at] - 1))
            if ids[at] >= first:
                first = ids[at] + 1
            at += 1
        if first <= last:
            left.append((first, last))
    return left


def pieces(spans: Iterable[Span], most: int) -> Iterator[list[Span]]:
    """The ranges in groups of at most ``most`` ids, cut where one is longer."""
    group: list[Span] = []
    left = most
    for first, last in spans:
        while first <= last:
            end = min(last, first + left - 1)
            group.append((first, end))
            left -= end - first + 1
            first = end + 1
            if not left:
                yield group
                group, left = [], most
    if group:
        yield group


def steps(spans: Iterable[Span], most: int) -> Iterator[Span]:
    """The ranges cut into pieces of at most ``most`` ids."""
    for first, last in spans:
        while first <= last:
            end = min(last, first + most - 1)
            yield first, end
            first = end + 1

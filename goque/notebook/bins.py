"""Many runs as a few numbers: steps of time, how busy, quantiles, lanes side by side. Not for: drawing (``plots``)."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

Floats = Any
"""A numpy array of float64; numpy's own type for it says no more at run time."""

ROUND_S = (
    *(digit * 10.0**power for power in range(-6, 1) for digit in (1, 2, 5)),
    *(10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400),
)
"""Lengths of steps that people read easily, in seconds."""

_ROUGH_S = 0.02
"""Moments of the past are told to about this: runs of one slot may seem to overlap by so much."""


def round_length(whole: float, most: int) -> float:
    """The shortest round length of which at most so many make up the whole."""
    return float(next((one for one in ROUND_S if whole / one <= most), whole / most))


def steps(first: float, last: float, most: int) -> tuple[Floats, float]:
    """Edges from before ``first`` to after ``last``, at most about ``most`` steps of a round length; that length."""
    length = round_length(last - first, most)
    begin = np.floor(first / length) * length
    number = int(np.floor((last - begin) / length)) + 1
    return begin + np.arange(number + 1) * length, length


def suiting(rows: int) -> int:
    """How many steps suit so many rows: few for few, never more than the eye tells apart."""
    return int(np.clip(2 * rows**0.5, 12, 120))


def busy(starts: Floats, ends: Floats, edges: Floats) -> Floats:
    """How many of these runs went on at once in each step, on average."""

    def begun_before(moments: Floats) -> Floats:
        """Seconds that have passed since all of the moments that were before each edge, together."""
        moments = np.sort(moments)
        total = np.concatenate([[0.0], np.cumsum(moments)])
        number = np.searchsorted(moments, edges)
        return number * edges - total[number]

    return np.maximum(np.diff(begun_before(starts) - begun_before(ends)) / np.diff(edges), 0.0)


def lanes(starts: Floats, ends: Floats) -> list[int]:
    """A lane for each run, as few as can be, so that none of one lane overlap by more than moments are rough."""
    found = [0] * len(starts)
    going: list[tuple[float, int]] = []
    free: list[int] = []
    used, enough = 0, _mostly_at_once(starts, ends)
    for place in np.argsort(starts, kind="stable").tolist():
        start = starts[place]
        while going and going[0][0] <= start:
            heapq.heappush(free, heapq.heappop(going)[1])
        if not free and used >= enough and going[0][0] <= start + _ROUGH_S:
            free.append(heapq.heappop(going)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane, used = used, used + 1
        found[place] = lane
        heapq.heappush(going, (float(ends[place]), lane))
    return found


def _mostly_at_once(starts: Floats, ends: Floats) -> int:
    """How many runs went on at once, or fewer, in 95 % of the time."""
    moments = np.concatenate([starts, ends])
    order = np.argsort(moments, kind="stable")
    going = np.cumsum(np.repeat([1, -1], len(starts))[order])[:-1]
    shares = np.cumsum(np.bincount(going.clip(0), np.diff(moments[order]), minlength=2)[1:])
    return int(np.searchsorted(shares, 0.95 * shares[-1])) + 1


def quantiles(at: Floats, values: Floats, edges: Floats, wanted: tuple[float, ...]) -> tuple[Floats, Floats]:
    """The middles of the steps that have values, and a row of these quantiles for each."""
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    bounds: Any = np.searchsorted(at, edges)
    kept = [place for place in range(len(edges) - 1) if bounds[place] < bounds[place + 1]]
    rows = [np.quantile(values[bounds[place] : bounds[place + 1]], wanted) for place in kept]
    return (edges[:-1] + np.diff(edges) / 2)[kept], np.array(rows).reshape(len(kept), len(wanted))


def spread(values: Floats, number: int) -> tuple[Floats, bool]:
    """Edges for a histogram, and whether they grow by a factor because small and large values lie far apart."""
    low, high = float(values.min()), float(values.max())
    positive = values[values > 0]
    least = float(np.quantile(positive, 0.01)) if len(positive) else 0.0
    if least and high / least > 30:
        return np.geomspace(max(least / 2, 1e-6), high * 1.001, number + 1), True
    pad = (high - low) * 0.02 or abs(high) * 0.05 or 1.0
    return np.linspace(max(low - pad, 0.0), high + pad, number + 1), False

"""Lengths of time as users write and read them: 90, timedelta(minutes=2), "1h30m". Not for: moments."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from goque.errors import InvalidInput

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_WORDS = {
    "ms": "ms milliseconds millisecond",
    "s": "s sec secs second seconds",
    "m": "m min mins minute minutes",
    "h": "h hr hrs hour hours",
    "d": "d day days",
    "w": "w week weeks",
}
_FACTOR = {word: UNITS[unit] for unit, words in _WORDS.items() for word in words.split()}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]+)\s*")
_NUMBER = re.compile(r"\s*-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*")
_REMEDY = 'give seconds as a number, a timedelta, or text such as "500ms", "10m", "1h30m", "2d"'


def seconds(duration: float | timedelta | str) -> float:
    """The length in seconds of a number (seconds), a timedelta, or text: numbers with ms, s, m, h, d or w, in a row.

    Raises:
        InvalidInput: it is none of these, or not finite.
    """
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, str):
        return _from_text(duration)
    if isinstance(duration, bool) or not hasattr(duration, "__float__"):
        raise InvalidInput(f"{duration!r} is not a duration; {_REMEDY}")
    length = float(duration)
    if not math.isfinite(length):
        raise InvalidInput(f"a duration must be finite, not {duration!r}; {_REMEDY}")
    return length


def _from_text(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    lowered = text.lower()
    total, at = 0.0, 0
    while match := _PART.match(lowered, at):
        factor = _FACTOR.get(match[2])
        if factor is None:
            break
        total += float(match[1]) * factor
        at = match.end()
    if at == 0 or at != len(lowered) or not math.isfinite(total):
        raise InvalidInput(f"{text!r} is not a duration; {_REMEDY}")
    return total


def in_words(length: float) -> str:
    """A length in seconds for people, in at most two units: "57 ms", "0.4 s", "12 s", "3 min 5 s", "2 h"."""
    length = max(0.0, length)
    if 0 < length < 0.0995:
        return f"{length * 1000:.2g} ms"
    if length < 9.95:
        return f"{length:.1f} s".replace(".0 s", " s")
    whole = round(length)
    for large, size, small, smaller in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"

"""Numbers of things in sentences for people. Not for: lengths of time (``durations``)."""

from __future__ import annotations


def number_of(number: int, noun: str) -> str:
    """The number with its noun: "1 worker", "2,000 workers". For nouns that take an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

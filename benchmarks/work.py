"""The functions that benchmarks run as tasks. Not for: measuring."""

from __future__ import annotations

import time


def square(number: int) -> int:
    """Nothing to do, and a small result."""
    return number * number


def started(_: int) -> float:
    """When it began, by the clock that all processes of a machine share."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Work that waits."""
    time.sleep(seconds)


def compute(seconds: float) -> None:
    """Work that computes: so much time of a processor, however often it is interrupted."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def same(value: object) -> object:
    """Gives back what it gets."""
    return value

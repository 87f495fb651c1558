"""Arguments and results of 1 kB to 10 MB, there and back: how fast, beside a COPY and a SELECT of the same bytes?

python -m benchmarks.sizes [--rounds 5] [--json]

Bytes that do not compress, the same bytes as numpy arrays and as DataFrames; and how far the client's memory rises
while items of 50 MB go and come one by one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks import raw
from benchmarks.drain import drained
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import same

if TYPE_CHECKING:
    from goque import Queue

SIZES = {"1 kB": (1_000, 20_000), "100 kB": (100_000, 400), "10 MB": (10_000_000, 6)}
FRAMES = {"1 kB": (1_000, 2_000), "100 kB": (100_000, 400), "10 MB": (10_000_000, 6)}
"""Fewer small ones: a frame of any size takes a hundred microseconds to pickle."""
LARGE = 50_000_000
KINDS = ("", ", arrays", ", frames")
GOALS = (
    *(
        goal
        for kind in KINDS
        for name in (f"{size}{kind}" for size in SIZES)
        for goal in (
            Goal(f"{name}, map / raw COPY", f"{name}, goque map", f"{name}, raw COPY", least=0.5),
            Goal(f"{name}, results / raw SELECT", f"{name}, goque results", f"{name}, raw SELECT", least=0.5),
        )
    ),
    Goal("memory of a map, items", "peak memory of a map", most=3),
    Goal("memory of reading results, items", "peak memory of reading results", most=3),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Each kind and size in megabytes per second, then memory."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as submitter, Queue(workers=2) as runner:
        runner.submit(same, b"").result()
        for _ in range(options.rounds):
            for kind, made in zip(KINDS, (bytes, _array, _frame), strict=True):
                for name, (size, count) in (FRAMES if made is _frame else SIZES).items():
                    _there_and_back(figures, f"{name}{kind}", (dsn, submitter, runner), (size, count), made)
            _memory(figures, submitter, runner)


def _there_and_back(
    figures: Figures, name: str, ends: tuple[str, Queue, Queue], sizes: tuple[int, int], made: Callable[[bytes], Any]
) -> None:
    dsn, submitter, runner = ends
    size, count = sizes
    payloads = raw.noise(size, min(count, 20))
    megabytes = size * count / 1e6
    seconds = raw.copy_in(dsn, [payloads[number % len(payloads)] for number in range(count)])
    figures.note(f"{name}, raw COPY", megabytes / seconds, "MB/s")
    values = [made(payload) for payload in payloads]
    items = [values[number % len(values)] for number in range(count)]
    began = time.perf_counter()
    batch = submitter.map(same, items)
    figures.note(f"{name}, goque map", megabytes / (time.perf_counter() - began), "MB/s")
    began = time.perf_counter()
    drained(batch, [runner])
    figures.note(f"{name}, goque run", megabytes / (time.perf_counter() - began), "MB/s")
    figures.note(f"{name}, raw SELECT", megabytes / raw.select_out(dsn), "MB/s")
    began = time.perf_counter()
    results = batch.results()
    figures.note(f"{name}, goque results", megabytes / (time.perf_counter() - began), "MB/s")
    assert bytes(_bytes(results[-1])) == payloads[(count - 1) % len(payloads)]


def _memory(figures: Figures, submitter: Queue, runner: Queue) -> None:
    """By how many items the memory rises, the one in hand among them."""
    with _risen(figures, "peak memory of a map"):
        batch = submitter.map(same, (os.urandom(LARGE) for _ in range(4)))
    drained(batch, [runner])
    with _risen(figures, "peak memory of reading results"):
        for value in batch:
            assert len(value) == LARGE


@contextmanager
def _risen(figures: Figures, name: str) -> Iterator[None]:
    """Above what it is at the beginning; the kernel's mark of the peak is put back before (Linux)."""
    with open("/proc/self/clear_refs", "w") as mark:
        mark.write("5")
    before = _kilobytes("VmRSS")
    yield
    figures.note(name, (_kilobytes("VmHWM") - before) * 1024 / LARGE, "items of 50 MB")


def _kilobytes(name: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))


def _array(payload: bytes) -> Any:
    import numpy as np

    return np.frombuffer(payload, dtype="u8")


def _frame(payload: bytes) -> Any:
    """Five columns."""
    import numpy as np
    import pandas as pd

    return pd.DataFrame(np.frombuffer(payload, dtype="u8").reshape(-1, 5))


def _bytes(value: Any) -> Any:
    return value if isinstance(value, bytes) else getattr(value, "to_numpy", lambda: value)().tobytes()


if __name__ == "__main__":
    import benchmarks.sizes

    run(benchmarks.sizes)

"""Arguments and results of 1 kB to 10 MB, there and back: how fast, beside a COPY and a SELECT of the same bytes?

python -m benchmarks.sizes [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import time

from benchmarks import raw
from benchmarks.drain import drained
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import same

SIZES = {"1 kB": (1_000, 20_000), "100 kB": (100_000, 400), "10 MB": (10_000_000, 6)}
GOALS = tuple(
    goal
    for name in SIZES
    for goal in (
        Goal(f"{name}, map / raw COPY", f"{name}, goque map", f"{name}, raw COPY", least=0.5),
        Goal(f"{name}, results / raw SELECT", f"{name}, goque results", f"{name}, raw SELECT", least=0.5),
    )
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Bytes that do not compress, in megabytes per second."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as submitter, Queue(workers=2) as runner:
        runner.submit(same, b"").result()
        for _ in range(options.rounds):
            for name, (size, count) in SIZES.items():
                payloads = raw.noise(size, min(count, 20))
                items = [payloads[number % len(payloads)] for number in range(count)]
                megabytes = size * count / 1e6
                seconds = raw.copy_in(dsn, items)
                figures.note(f"{name}, raw COPY", megabytes / seconds, "MB/s")
                began = time.perf_counter()
                batch = submitter.map(same, items)
                figures.note(f"{name}, goque map", megabytes / (time.perf_counter() - began), "MB/s")
                began = time.perf_counter()
                drained(batch, [runner])
                figures.note(f"{name}, goque run", megabytes / (time.perf_counter() - began), "MB/s")
                figures.note(f"{name}, raw SELECT", megabytes / raw.select_out(dsn), "MB/s")
                began = time.perf_counter()
                assert batch.results()[-1] == items[-1]
                figures.note(f"{name}, goque results", megabytes / (time.perf_counter() - began), "MB/s")


if __name__ == "__main__":
    import benchmarks.sizes

    run(benchmarks.sizes)

"""How fast does a worker with two slots run tasks that do nothing, beside the bare SQL of claiming and completing?

python -m benchmarks.drain [--tasks 100000] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import raw
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import Meter, fresh_server
from benchmarks.work import square

if TYPE_CHECKING:
    from goque import Batch, Queue

GOALS = (
    Goal("drain / raw claim+complete", "goque, 1 worker", "raw claim+complete", least=0.7),
    Goal("WAL of a drained task, bytes", "WAL of a task", most=900),
    Goal("commits per task", "commits of a task", most=0.02),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """The raw loop, one worker process and two, in turns."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as submitter, ExitStack() as stack:
        runners = [stack.enter_context(Queue(workers=2)) for _ in range(2)]
        for runner in runners:
            runner.submit(square, 1).result()
        meter = Meter(dsn)
        for _ in range(options.rounds):
            raw.enqueue(dsn, options.tasks)
            figures.note("raw claim+complete", raw.drain(dsn))
            batch = submitter.map(square, range(options.tasks))
            with meter.read() as used, figures.rate("goque, 1 worker", options.tasks):
                drained(batch, runners[:1])
            figures.note("WAL of a task", used.wal_bytes / options.tasks, "B")
            figures.note("commits of a task", used.commits / options.tasks, "")
            figures.note("goque, 2 workers", drain_rate(submitter, runners, options.tasks))


def drained(batch: Batch, runners: list[Queue]) -> None:
    """Let these run it, and wait for its last outcome."""
    for runner in runners:
        runner.batch(batch.id)  # takes it up
    while not batch.done():
        time.sleep(0.02)


def drain_rate(submitter: Queue, runners: list[Queue], count: int) -> float:
    """Tasks per second of a map that these run."""
    batch = submitter.map(square, range(count))
    began = time.perf_counter()
    drained(batch, runners)
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    import benchmarks.drain

    run(benchmarks.drain)

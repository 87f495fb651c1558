"""How fast is a map of many small items durable, beside a binary COPY of as many rows?

python -m benchmarks.enqueue [--tasks 100000] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse

from benchmarks import raw
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import square

GOALS = (Goal("map / raw COPY", "goque map", "raw COPY", least=0.5),)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """One round each of the COPY and of the map."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as q:
        q.submit(square, 1).cancel()
        for _ in range(options.rounds):
            figures.note("raw COPY", raw.enqueue(dsn, options.tasks))
            with figures.rate("goque map", options.tasks):
                q.map(square, range(options.tasks))


if __name__ == "__main__":
    import benchmarks.enqueue

    run(benchmarks.enqueue)

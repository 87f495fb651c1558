"""An idle worker and one submit: how long until the function begins, and until ``result()`` returns?

python -m benchmarks.latency [--rounds 5] [--json]

200 submissions a round, a random pause before each, so that the worker is idle again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import started

SUBMISSIONS = 200
GOALS = (
    Goal("start, p50", "until it begins, p50", most=3.0),
    Goal("start, p99", "until it begins, p99", most=25.0),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Rounds of submissions one after the other."""
    from goque import Queue

    with fresh_server(), Queue(workers=2) as q:
        for _ in range(20):
            q.submit(started, 0).result()
        for _ in range(options.rounds):
            begins, ends = [], []
            for _ in range(SUBMISSIONS):
                time.sleep(random.uniform(0.0, 0.02))
                called = time.monotonic()
                began = q.submit(started, 0).result()
                ends.append(time.monotonic() - called)
                begins.append(began - called)
            for name, values in (("until it begins", begins), ("until the result is here", ends)):
                hundredths = statistics.quantiles(values, n=100)
                for rank in (50, 95, 99):
                    figures.note(f"{name}, p{rank}", 1000 * hundredths[rank - 1], "ms")


if __name__ == "__main__":
    import benchmarks.latency

    run(benchmarks.latency)

"""How fast are tasks submitted one by one, beside a bare INSERT and commit for each?

python -m benchmarks.singles [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse

from benchmarks import raw
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import square

COUNT = 3_000
GOALS = (
    Goal("submit / raw INSERT", "goque submit", "raw INSERT and commit", least=0.7),
    Goal("in a pipeline / submit", "goque submit in a pipeline", "goque submit", least=10),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """The INSERT, submit, and submit within ``q.pipeline()``, in turns."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as q:
        q.submit(square, 0)
        for _ in range(options.rounds):
            figures.note("raw INSERT and commit", raw.insert_singles(dsn, COUNT))
            with figures.rate("goque submit", COUNT):
                for number in range(COUNT):
                    q.submit(square, number)
            with figures.rate("goque submit in a pipeline", 10 * COUNT), q.pipeline():
                for number in range(10 * COUNT):
                    q.submit(square, number)


if __name__ == "__main__":
    import benchmarks.singles

    run(benchmarks.singles)

"""Do claims and completions of one database rise with the number of workers, up to the cores?

python -m benchmarks.scaling [--tasks 100000] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from benchmarks.drain import drain_rate
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import square

if TYPE_CHECKING:
    from goque import Queue

WORKERS = (1, 2, 8, 32)
GOALS = tuple(Goal(f"{n} workers / 1", f"{n} workers", "1 workers", least=0.9) for n in WORKERS[1:])


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """The same map by so many worker processes of one slot each, in turns; started anew, so that no others look on."""
    from goque import Queue

    with fresh_server(), Queue(workers=0) as submitter:
        for _ in range(options.rounds):
            for count in WORKERS:
                with workers(count, 1) as runners:
                    drain_rate(submitter, runners, options.tasks // 5)  # children and plans are there
                    figures.note(f"{count} workers", drain_rate(submitter, runners, options.tasks))


@contextmanager
def workers(count: int, slots: int) -> Iterator[list[Queue]]:
    """So many worker processes."""
    from goque import Queue

    with ExitStack() as stack:
        queues = [stack.enter_context(Queue(workers=slots)) for _ in range(count)]
        for one in queues:
            one.submit(square, 1).result()
        yield queues


if __name__ == "__main__":
    import benchmarks.scaling

    run(benchmarks.scaling)

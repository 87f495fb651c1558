"""How fast is a map of many small items durable, beside a binary COPY of as many rows, and other queues?

python -m benchmarks.enqueue [--tasks 100000] [--rounds 5] [--json] [--peers pgqueuer,awa]
"""

from __future__ import annotations

import argparse

from benchmarks import raw
from benchmarks.measuring import Figures, Goal, run
from benchmarks.peers.company import peers
from benchmarks.servers import fresh_server
from benchmarks.work import square

GOALS = (
    Goal("map / raw COPY", "goque map", "raw COPY", least=0.5),
    Goal("map / the quickest peer", "goque map", "the quickest peer", least=3),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """One round each of the COPY, of the map, and of each peer's own way to give it many."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as q:
        q.submit(square, 1).cancel()
        others = peers(dsn, options)
        for _ in range(options.rounds):
            figures.note("raw COPY", raw.enqueue(dsn, options.tasks))
            with figures.rate("goque map", options.tasks):
                q.map(square, range(options.tasks))
            for peer in others:
                count = min(options.tasks, peer.module.BULK)
                with peer.client(peer.fresh()) as client, figures.rate(peer.name, count):
                    client.enqueue(count)
        figures.pick("the quickest peer", max, [peer.name for peer in others])


if __name__ == "__main__":
    import benchmarks.enqueue

    run(benchmarks.enqueue)

"""How fast are tasks submitted one by one, beside a bare INSERT and commit for each, and other queues?

python -m benchmarks.singles [--rounds 5] [--json] [--peers pgqueuer,awa]
"""

from __future__ import annotations

import argparse

from benchmarks import raw
from benchmarks.measuring import Figures, Goal, run
from benchmarks.peers.company import peers
from benchmarks.servers import fresh_server
from benchmarks.work import square

COUNT = 3_000
OTHERS = 1_000
"""Tasks of a round for each peer."""
GOALS = (
    Goal("submit / raw INSERT", "goque submit", "raw INSERT and commit", least=0.7),
    Goal("in a pipeline / submit", "goque submit in a pipeline", "goque submit", least=10),
    Goal("submit / the quickest peer", "goque submit", "the quickest peer", least=1),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """The INSERT, submit, submit within ``q.pipeline()``, and each peer's own way, in turns."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as q:
        q.submit(square, 0)
        others = peers(dsn, options)
        for _ in range(options.rounds):
            figures.note("raw INSERT and commit", raw.insert_singles(dsn, COUNT))
            with figures.rate("goque submit", COUNT):
                for number in range(COUNT):
                    q.submit(square, number)
            with figures.rate("goque submit in a pipeline", 10 * COUNT), q.pipeline():
                for number in range(10 * COUNT):
                    q.submit(square, number)
            figures.note("raw INSERT in a pipeline", raw.insert_pipelined(dsn, 10 * COUNT))
            for peer in others:
                with peer.client(peer.fresh()) as client, figures.rate(peer.name, OTHERS):
                    client.submit(OTHERS)
        figures.pick("the quickest peer", max, [peer.name for peer in others])


if __name__ == "__main__":
    import benchmarks.singles

    run(benchmarks.singles)

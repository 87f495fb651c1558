"""An idle worker and one submit: how long until the function begins, and until ``result()`` returns?

python -m benchmarks.latency [--rounds 5] [--json] [--peers pgqueuer,awa]

200 submissions a round, a random pause before each, so that the worker is idle again. Other queues tell through a
socket when a task begins; theirs are coroutines in the worker itself.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

from benchmarks.measuring import Figures, Goal, run
from benchmarks.peers.company import Peer, peers
from benchmarks.peers.starts import Starts, listening
from benchmarks.servers import fresh_server
from benchmarks.work import started

SUBMISSIONS = 200
GOALS = (
    Goal("start, p50, the quickest peer / goque", "the quickest peer, p50", "until it begins, p50", least=1),
    Goal("start, p99", "until it begins, p99", most=25.0),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Rounds of submissions one after the other."""
    from goque import Queue

    with fresh_server() as dsn, listening() as starts, Queue(workers=2) as q:
        others = peers(dsn, options)
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
            _note(figures, "until it begins", begins)
            _note(figures, "until the result is here", ends)
            for peer in others:
                _note(figures, peer.name, _start_peer(peer, starts))
        figures.pick("the quickest peer, p50", min, [f"{peer.name}, p50" for peer in others])


def _start_peer(peer: Peer, starts: Starts) -> list[float]:
    """A worker process of this round's own, warm before it is measured."""
    found = []
    dsn = peer.fresh()
    with peer.client(dsn) as client, peer.workers(dsn, 1) as workers:
        workers.go()
        for turn in range(20 + SUBMISSIONS):
            time.sleep(random.uniform(0.0, 0.02))
            called = time.monotonic()
            client.start()
            began = starts.next()
            if turn >= 20:
                found.append(began - called)
    return found


def _note(figures: Figures, name: str, values: list[float]) -> None:
    hundredths = statistics.quantiles(values, n=100)
    for rank in (50, 95, 99):
        figures.note(f"{name}, p{rank}", 1000 * hundredths[rank - 1], "ms")


if __name__ == "__main__":
    import benchmarks.latency

    run(benchmarks.latency)

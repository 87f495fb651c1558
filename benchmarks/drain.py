"""How fast does a worker with two slots run tasks that do nothing, beside the bare SQL of claiming and completing?

python -m benchmarks.drain [--tasks 100000] [--rounds 5] [--json] [--peers pgqueuer,awa]

And beside other queues, whose functions are coroutines in the worker itself; all but dbos keep no result.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

from benchmarks import raw
from benchmarks.measuring import Figures, Goal, run
from benchmarks.peers.company import Peer, peers
from benchmarks.servers import Meter, Used, fresh_server
from benchmarks.work import square

if TYPE_CHECKING:
    from goque import Batch, Queue

GOALS = (
    Goal("drain / raw claim+complete", "goque, 1 worker", "raw claim+complete", least=0.7),
    Goal("drain / the quickest peer", "goque, 1 worker", "the quickest peer, 1 worker", least=1),
    Goal("2 workers / the quickest peer's", "goque, 2 workers", "the quickest peer, 2 workers", least=1),
    Goal("WAL of a drained task, bytes", "WAL of a task", most=900),
    Goal("commits per task", "commits of a task", most=0.02),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """The raw loop, one worker process and two, and those of each peer, in turns."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as submitter, ExitStack() as stack:
        runners = [stack.enter_context(Queue(workers=2)) for _ in range(2)]
        for runner in runners:
            runner.submit(square, 1).result()
        meter = Meter(dsn)
        others = peers(dsn, options)
        for _ in range(options.rounds):
            raw.enqueue(dsn, options.tasks)
            figures.note("raw claim+complete", raw.drain(dsn))
            batch = submitter.map(square, range(options.tasks))
            with meter.read() as used, figures.rate("goque, 1 worker", options.tasks):
                drained(batch, runners[:1])
            figures.note("WAL of a task", used.wal_bytes / options.tasks, "B")
            figures.note("commits of a task", used.commits / options.tasks, "")
            figures.note("goque, 2 workers", drain_rate(submitter, runners, options.tasks))
            for peer in others:
                _drain_peer(figures, peer, meter, min(options.tasks, peer.module.DRAIN))
        for side in ("1 worker", "2 workers"):
            figures.pick(f"the quickest peer, {side}", max, [f"{peer.name}, {side}" for peer in others])


def _drain_peer(figures: Figures, peer: Peer, meter: Meter, count: int) -> None:
    """One worker process with the server's counters read, then two, each on a database of its own."""
    for workers, side in ((1, "1 worker"), (2, "2 workers")):
        dsn = peer.fresh()
        with peer.client(dsn) as client:
            client.enqueue(count)
        with meter.read() if workers == 1 else nullcontext(Used()) as used:
            figures.note(f"{peer.name}, {side}", peer.drain(dsn, workers))
        if workers == 1:
            figures.note(f"{peer.name}, WAL of a task", used.wal_bytes / count, "B")
            figures.note(f"{peer.name}, commits of a task", used.commits / count, "")


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

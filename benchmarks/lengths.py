"""How much of two slots' time goes into tasks of 1 ms, 10 ms, 100 ms and 1 s?

python -m benchmarks.lengths [--rounds 5] [--json]

Efficiency is the time of all tasks over slots times elapsed time, from the first start to the last end. Beside it the
same work in a ``ProcessPoolExecutor`` of two processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import compute, sleep

KINDS = {
    "asleep": (sleep, {"1 ms": (0.001, 2000), "10 ms": (0.01, 400), "100 ms": (0.1, 60), "1 s": (1.0, 6)}),
    "computing": (compute, {"1 ms": (0.001, 1000), "10 ms": (0.01, 200), "100 ms": (0.1, 20), "1 s": (1.0, 4)}),
}
GOALS = tuple(
    Goal(f"{name} {kind}", f"goque, {name} {kind}", least=0.97) for kind in KINDS for name in ("10 ms", "100 ms", "1 s")
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Tasks that sleep, then tasks that compute, which share their processors with the server and the worker."""
    from goque import Queue

    context = multiprocessing.get_context("spawn")
    with fresh_server(), Queue(workers=2) as q, ProcessPoolExecutor(2, mp_context=context) as executor:
        q.submit(sleep, 0.0).result()
        list(executor.map(sleep, [0.0] * 4))
        for _ in range(options.rounds):
            for kind, (work, lengths) in KINDS.items():
                for length, (seconds, count) in lengths.items():
                    name = f"{length} {kind}"
                    batch = q.map(work, [seconds] * count).wait()
                    frame = batch.history(columns=["started_at", "finished_at"])
                    wall = (frame["finished_at"].max() - frame["started_at"].min()).total_seconds()
                    figures.note(f"goque, {name}", seconds * count / (2 * wall), "")
                    began = time.perf_counter()
                    list(executor.map(work, [seconds] * count))
                    wall = time.perf_counter() - began
                    figures.note(f"ProcessPoolExecutor, {name}", seconds * count / (2 * wall), "")


if __name__ == "__main__":
    import benchmarks.lengths

    run(benchmarks.lengths)

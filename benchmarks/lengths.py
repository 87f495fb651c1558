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
from benchmarks.work import sleep

LENGTHS = {"1 ms": (0.001, 2000), "10 ms": (0.01, 400), "100 ms": (0.1, 60), "1 s": (1.0, 6)}
GOALS = tuple(Goal(f"{name} asleep", f"goque, {name}", least=0.97) for name in ("10 ms", "100 ms", "1 s"))


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Tasks that sleep: with two processors, tasks that compute would measure who else computes."""
    from goque import Queue

    context = multiprocessing.get_context("spawn")
    with fresh_server(), Queue(workers=2) as q, ProcessPoolExecutor(2, mp_context=context) as executor:
        q.submit(sleep, 0.0).result()
        list(executor.map(sleep, [0.0] * 4))
        for _ in range(options.rounds):
            for name, (seconds, count) in LENGTHS.items():
                batch = q.map(sleep, [seconds] * count).wait()
                frame = batch.history(columns=["started_at", "finished_at"])
                wall = (frame["finished_at"].max() - frame["started_at"].min()).total_seconds()
                figures.note(f"goque, {name}", seconds * count / (2 * wall), "")
                began = time.perf_counter()
                list(executor.map(sleep, [seconds] * count))
                figures.note(f"ProcessPoolExecutor, {name}", seconds * count / (2 * (time.perf_counter() - began)), "")


if __name__ == "__main__":
    import benchmarks.lengths

    run(benchmarks.lengths)

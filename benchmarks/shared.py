"""How long does a table that many tasks share take to reach them, beside joblib's memory-mapped arguments?

python -m benchmarks.shared [--rounds 5] [--json]

Two processes on each side. What is timed is giving an array of 200 MB that nobody has seen, and 200 tasks that look
at it; and the private memory that the processes have for it afterwards.
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import repeat
from typing import Any

from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server

BYTES = 200_000_000
TASKS = 200
GOALS = (
    Goal("given and looked at / joblib", "goque q.put and map", "joblib memmapping", most=5),
    Goal("private memory of the table", "goque, private bytes of 1", most=0.1),
)


def look(table: Any, row: int) -> tuple[int, float, float]:
    """A glance at a row: which process, what it saw, and the private part of the table in its memory, of 1."""
    value = float(table[row % len(table)])
    address, private = table.__array_interface__["data"][0], 0
    with open("/proc/self/smaps") as maps:
        inside = False
        for line in maps:
            head = line.split()[0]
            if "-" in head and not head.endswith(":"):
                first, last = (int(part, 16) for part in head.split("-"))
                inside = first <= address < last
            elif inside and head in ("Private_Dirty:", "Anonymous:"):
                private = max(private, int(line.split()[1]) * 1024)
    return os.getpid(), value, private / table.nbytes


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """A new table for each round and side."""
    import joblib
    import numpy as np

    from goque import Queue

    with fresh_server(), Queue(workers=2) as q, joblib.Parallel(n_jobs=2, max_nbytes="1M") as parallel:
        q.map(look, repeat(np.zeros(1), 2), range(2)).results()
        parallel(joblib.delayed(look)(np.zeros(1), row) for row in range(2))
        for turn in range(options.rounds):
            table = np.full(BYTES // 8, float(turn))
            began = time.perf_counter()
            ref = q.put(table)
            found = q.map(look, [ref] * TASKS, range(TASKS)).results()
            figures.note("goque q.put and map", time.perf_counter() - began, "s")
            figures.note("goque, private bytes of 1", max(private for _, _, private in found), "")
            began = time.perf_counter()
            again = parallel(joblib.delayed(look)(table, row) for row in range(TASKS))
            figures.note("joblib memmapping", time.perf_counter() - began, "s")
            assert [value for _, value, _ in found] == [value for _, value, _ in again]


if __name__ == "__main__":
    import benchmarks.shared

    run(benchmarks.shared)

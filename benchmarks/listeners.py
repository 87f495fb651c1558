"""What does a notification cost with 0, 100, 500 and 1,000 sessions that listen, as a fleet of workers would?

python -m benchmarks.listeners [--rounds 5] [--json]

Bare sessions, not workers: what the server does for each of them. Linux.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg

from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from goque.postgres import embedded

LISTENERS = (0, 100, 500, 1_000)
NOTIFICATIONS = 50
GOALS: tuple[Goal, ...] = ()


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """More and more sessions, from none on, in each round."""
    with fresh_server() as dsn:
        with psycopg.connect(dsn, autocommit=True) as sender:
            sender.execute(f"alter system set max_connections = {LISTENERS[-1] + 100}".encode())
        home = Path(os.environ["GOQUE_HOME"])
        embedded.stop(home)
        dsn = embedded.ensure(home)
        for _ in range(options.rounds):
            with psycopg.connect(dsn, autocommit=True) as sender, ExitStack() as stack:
                there = 0
                for count in LISTENERS:
                    for _ in range(count - there):
                        stack.enter_context(psycopg.connect(dsn, autocommit=True)).execute("listen word")
                    there = count
                    _notify(figures, sender, count)


def _notify(figures: Figures, sender: psycopg.Connection, count: int) -> None:
    """With a pause after each, so that all of them have heard the last one."""
    sessions = psutil.Process(sender.info.backend_pid).parent().children()
    before, took = sum(map(_processor_s, sessions)), []
    for _ in range(NOTIFICATIONS):
        began = time.perf_counter()
        sender.execute("notify word")
        took.append(time.perf_counter() - began)
        time.sleep(0.05)
    used = sum(map(_processor_s, sessions)) - before
    memory = sum(one.memory_full_info().pss for one in sessions)
    figures.note(f"until the commit, {count:,} listeners", 1000 * statistics.median(took), "ms")
    figures.note(f"processor time, {count:,} listeners", 1000 * used / NOTIFICATIONS, "ms")
    figures.note(f"memory of the server, {count:,} listeners", memory / 2**20, "MiB")


def _processor_s(process: psutil.Process) -> float:
    """To the nanosecond: in hundredths of a second a session that only wakes has done nothing."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    import benchmarks.listeners

    run(benchmarks.listeners)

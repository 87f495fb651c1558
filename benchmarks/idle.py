"""What does an idle worker cost, and how long do ``import goque`` and ``goque --help`` take?

python -m benchmarks.idle [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import psutil

from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import Meter, fresh_server

LOOK_S = 10.0
GOALS = (
    Goal("transactions of an idle worker", "transactions", most=1.0),
    Goal("memory of its main process", "memory, main process", most=60),
    Goal("import goque beyond bare Python", "import goque, beyond bare Python", most=0.25),
    Goal("goque --help", "goque --help", most=0.4),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """A worker of two slots that has nothing to do, looked at for some seconds; then the commands."""
    with fresh_server() as dsn:
        from goque import Queue

        with Queue(workers=0):
            pass  # the schema is there
        command = [sys.executable, "-m", "goque.cli", "worker", "--dsn", dsn, "--concurrency", "2"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as worker:
            try:
                time.sleep(15.0)  # it has looked in vain for a while
                main = psutil.Process(worker.pid)
                family = [main, *main.children(recursive=True)]
                for _ in range(options.rounds):
                    before = sum(sum(one.cpu_times()[:2]) for one in family)
                    with Meter(dsn).read() as used:
                        time.sleep(LOOK_S)
                    after = sum(sum(one.cpu_times()[:2]) for one in family)
                    figures.note("transactions", used.commits / used.seconds)
                    figures.note("processor, all its processes", 100 * (after - before) / LOOK_S, "% of one")
                    figures.note("memory, main process", main.memory_info().rss / 2**20, "MiB")
                    memory = sum(one.memory_info().rss for one in family)
                    figures.note("memory, all its processes", memory / 2**20, "MiB")
            finally:
                worker.terminate()
    for _ in range(options.rounds):
        bare = _seconds([sys.executable, "-c", "pass"])
        figures.note("import goque, beyond bare Python", _seconds([sys.executable, "-c", "import goque"]) - bare, "s")
        figures.note("goque --help", _seconds([sys.executable, "-m", "goque.cli", "--help"]), "s")


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    import benchmarks.idle

    run(benchmarks.idle)

"""Workers, tasks that enter what they do into a ledger, and what must be true after any fault. Not for: the faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from goque import Batch, Fixed, Queue, Status
from goque.worker.heartbeat import LEASE_S

TASKS = int(os.environ.get("GOQUE_SOAK_TASKS", "10000"))
AROUND = max(TASKS // 3, 500)
"""Tasks whose rate is taken before and after a fault."""
SECRET = "a secret for long runs under faults"
FIGURES = os.environ.get("GOQUE_SOAK_FIGURES")
"""A file that gets a line of JSON with the figures of each run."""


class Member:
    """A worker with two slots as a process of its own."""

    def __init__(self, dsn: str, log: Path, *options: str, skew: float = 0.0) -> None:
        """``skew`` is by how many seconds its clock is wrong."""
        module = ("tests.skewed_worker",) if skew else ("goque.cli", "worker")
        command = [sys.executable, "-m", *module, "--concurrency", "2", *options]
        environment = {**os.environ, "GOQUE_DSN": dsn, "GOQUE_SECRET": SECRET, "SKEW": str(skew)}
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

    def family(self) -> list[psutil.Process]:
        """It, its nursery and its children."""
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(self.process.pid)
            return [main, *main.children(recursive=True)]
        return []

    def kill(self) -> None:
        """End its main process at once."""
        self.process.kill()
        self.process.wait()


class Field:
    """A queue with two workers on a server, and a ledger on another."""

    def __init__(self, name: str, dsn: str, ledger: str, folder: Path, *, workers_dsn: str | None = None) -> None:
        self.name = name
        self.dsn = dsn
        self.workers_dsn = workers_dsn or dsn
        self.ledger = ledger
        self.folder = folder
        self.queue = Queue(dsn, migrate=True, owner="soak")
        self.members: list[Member] = []
        self.figures: dict[str, Any] = {"name": name}
        self._first = 0
        with psycopg.connect(ledger, autocommit=True) as connection:
            connection.execute("drop table if exists ledger")
            connection.execute("create table ledger (item bigint, at timestamptz default clock_timestamp())")

    def serve(self, number: int = 2, *, skew: float = 0.0) -> None:
        """Start so many workers more."""
        for _ in range(number):
            self.members.append(Member(self.workers_dsn, self.folder / "workers.log", skew=skew))

    def replace(self, member: Member) -> None:
        """Kill a worker and start another in its place."""
        member.kill()
        self.members.remove(member)
        self.serve(1)

    def map(self, number: int, seconds: float = 0.003) -> Batch:
        """So many tasks, each of which enters its item into the ledger and then takes some time."""

        def entered(item: int, *, ledger: str, seconds: float) -> int:
            import time

            import psycopg

            import goque

            connection = goque.once(lambda: psycopg.connect(ledger, autocommit=True))
            connection.execute("insert into ledger (item) values (%s)", (item,))
            time.sleep(seconds)
            return item

        items = range(self._first, self._first + number)
        self._first += number
        kwargs = {"ledger": self.ledger, "seconds": seconds}
        return self.queue.options(max_attempts=10, retry=Fixed(0.2)).map(entered, items, kwargs=kwargs)

    def rate(self) -> float:
        """Tasks per second while nothing goes wrong."""
        began = time.monotonic()
        batch = self.map(AROUND)
        self.final(batch, 120.0)
        return AROUND / (time.monotonic() - began)

    def final(self, batch: Batch, patience: float) -> None:
        """Wait until every task of the batch is final."""
        give_up_at = time.monotonic() + patience
        while True:
            with suppress(Exception):  # the server may be away
                if batch.done():
                    return
            assert time.monotonic() < give_up_at, f"not final after {patience:.0f} s: {batch.counts()} {batch.errors()}"
            time.sleep(0.05)

    def survives(self, fault: Callable[[], None], *, after: float = LEASE_S + 5.0) -> Batch:
        """Run tasks under a fault; ``after`` it they are final within so many seconds and what their work takes.

        ``fault`` returns when it is over.
        """
        self.rate()  # workers have started, and know the function
        before = self.rate()
        batch = self.map(TASKS)
        began = time.monotonic()
        fault()
        over = time.monotonic()
        left = sum(number for status, number in batch.counts().items() if not status.final)
        self.final(batch, after + 2.0 * left / before)
        ended = time.monotonic()
        later = self.rate()
        self.figures |= {
            "tasks": TASKS,
            "fault_s": round(over - began, 1),
            "unfinished_when_it_was_over": left,
            "until_all_were_final_s": round(ended - over, 1),
            "rate_before": round(before),
            "rate_after": round(later),
        }
        self.explained(batch)
        assert later >= 0.9 * before, f"{later:.0f} tasks/s after the fault, {before:.0f} before"
        return batch

    def explained(self, batch: Batch) -> None:
        """Every task is final, what ran more than once has records that say why, and the counts are those of rows."""
        tasks = self.queue.tasks(batch=batch.id, columns=["id", "position", "status", "attempts"])
        assert len(tasks) == len(batch)
        assert set(tasks["status"]) <= {"done", "attempts_left", "canceled"}
        with psycopg.connect(self.dsn) as connection:
            rows = connection.execute("select task_id, outcome from goque.run").fetchall()
            held = connection.execute("select count(*) from goque.task where seq < 0 and status <> 'done'").fetchone()
        with psycopg.connect(self.ledger) as connection:
            entries = Counter(item for (item,) in connection.execute("select item from ledger").fetchall())
        records = Counter(task for task, _ in rows)
        first = batch[0].args[0]
        for task, position, status in zip(tasks["id"], tasks["position"], tasks["status"], strict=True):
            ran = entries[first + position]
            assert ran <= 1 + records[task], f"task {task} ran {ran} times and has {records[task]} records"
            assert ran >= 1 or status != Status.DONE, f"task {task} is done and never ran"
        counts = {status: number for status, number in batch.counts().items() if number}
        assert counts == Counter(map(Status, tasks["status"]))
        assert held == (0,)
        ours = set(tasks["id"])
        self.figures |= {
            "statuses": {str(status): number for status, number in counts.items()},
            "runs": sum(entries[first + place] for place in range(len(batch))),
            "records": dict(Counter(outcome for task, outcome in rows if task in ours)),
        }

    def close(self) -> None:
        """End the workers in order; nothing of them may be left."""
        families = [one for member in self.members for one in member.family()]
        for member in self.members:
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGCONT)
                member.process.terminate()
        for member in self.members:
            try:
                member.process.wait(40)
            except subprocess.TimeoutExpired:
                member.kill()
        left = psutil.wait_procs(families, timeout=10)[1]
        self.queue.close()
        noted_figures(**self.figures)
        assert not left, f"left behind: {left}"


def noted_figures(name: str, **figures: Any) -> None:
    """Tell the figures of a run as a line of JSON."""
    line = json.dumps({"name": name, **figures})
    sys.stdout.write(f"\n{line}\n")
    if FIGURES:
        with open(FIGURES, "a") as file:
            file.write(line + "\n")

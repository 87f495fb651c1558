"""A stage for what goes wrong: a database, workers of their own processes, and a file that says what really ran.

Whatever happens on it, ``Scene.settled`` asserts what must hold: every task comes to its end, what ran twice has a
record that says why, the counts are those of the rows, and nothing is left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from goque import Queue
from goque.app.batch import Batch
from goque.postgres.database import Database
from tests.integration.conftest import SECRET
from tests.integration.conftest import until as soon
from tests.rig import Rig

PATIENCE = 60.0
until = partial(soon, patience=PATIENCE)


class Served:
    """A worker with a short lease, as a process of its own."""

    def __init__(self, dsn: str, log: Path, *options: str, stops: tuple[str, Path] | None = None) -> None:
        """``stops``: the statement after which it stops, and the file without which it does not."""
        self.log = log
        module = "tests.stopping_worker" if stops else "tests.hurried_worker"
        command = [sys.executable, "-m", module, "--concurrency", "2", *options]
        environment = {**os.environ, "GOQUE_DSN": dsn, "GOQUE_SECRET": SECRET}
        if stops:
            environment |= {"STOP_AFTER": stops[0], "STOP_WHEN": str(stops[1])}
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, stderr=output, stdout=output, env=environment)
        self._family: dict[int, psutil.Process] = {}

    def family(self) -> list[psutil.Process]:
        """Its nursery and children, those of the past included."""
        try:
            for one in psutil.Process(self.process.pid).children(recursive=True):
                self._family[one.pid] = one
        except psutil.NoSuchProcess:
            pass
        return list(self._family.values())

    def children(self) -> list[psutil.Process]:
        """The processes that run tasks: what the nursery has made."""
        return [one for one in self.family() if one.is_running() and one.ppid() != self.process.pid]

    @property
    def stopped(self) -> bool:
        """Whether its main process stands still."""
        return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED

    def send(self, number: int) -> None:
        self.family()
        self.process.send_signal(number)

    def end(self) -> None:
        """Ask it to end if it lives, and see that nothing of it lives on."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        self.process.wait(PATIENCE)
        left = psutil.wait_procs(self.family(), timeout=5.0)[1]
        assert not left, f"left behind: {left}"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


class Scene:
    """A database, a file that tasks write to, and workers."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.rig = Rig(Database(dsn))
        self.queue = Queue(dsn, owner="tester")
        self.workers: list[Served] = []
        self._folder = folder
        self._file = folder / "ran"
        self._file.touch()

    def serve(self, *options: str, stops: tuple[str, Path] | None = None) -> Served:
        log = self._folder / f"worker-{len(self.workers)}.log"
        self.workers.append(Served(self.dsn, log, *options, stops=stops))
        return self.workers[-1]

    def map(self, number: int, seconds: float = 0.002, **options: Any) -> Batch:
        def noted(place: int, file: str, seconds: float) -> int:

            with open(file, "ab", buffering=0) as ran:
                ran.write(b"%d\n" % place)
            if seconds:
                time.sleep(seconds)
            return place

        kwargs = {"file": str(self._file), "seconds": seconds}
        return self.queue.map(noted, range(number), kwargs=kwargs, **options)

    def ran(self) -> Counter[int]:
        """How often each item has run."""
        return Counter(map(int, self._file.read_bytes().split()))

    def some_ran(self, number: int) -> None:
        until(lambda: self._file.read_bytes().count(b"\n") >= number, f"{number} tasks have run")

    def settled(self, batch: Batch) -> None:
        """The batch is final and explained."""
        until(lambda: all(status.final or not n for status, n in batch.counts().items()), "every task is final")
        for worker in self.workers:
            worker.end()
        ran = self.ran()
        records = Counter(row.task_id for row in self.rig.ask("select * from goque.run"))
        for place, task in enumerate(sorted(self.rig.rows())):
            assert ran[place] <= 1 + records[task], f"item {place} ran {ran[place]} times with {records[task]} records"
        assert self.rig.broken() == []
        self._no_claims_left()

    def _no_claims_left(self) -> None:
        """Claims of workers that were killed go with the next healing, once these are known to be lost."""
        for [worker] in self.rig.ask("select id from goque.worker where lost_at is null and ended_at is null"):
            self.rig.lose(worker)
        self.rig.heal()
        assert self.rig.claims() == 0
        assert self.rig.ask("select * from goque.task where seq < 0 and status <> 'done'") == []

    def logs(self) -> str:
        return "\n".join(worker.log.read_text() for worker in self.workers)

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.queue.close()
        self.rig.database.close()

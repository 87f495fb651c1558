"""Workers of ``workshop`` for the tests of reference rows, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from goque import Queue
from tests import moves
from tests.conftest import _new_database
from tests.integration.conftest import SECRET, until
from tests.scenarios.scene import Scene

APP = "tests.scenarios.workshop:jobs"


class Works:
    """A queue on a database of its own, and the workers that were started for it. ``log`` is what they all said."""

    def __init__(self, dsn: str, log: Path) -> None:
        self.queue = Queue(dsn, owner="tester")
        self.log = log
        self.workers: list[subprocess.Popen[bytes]] = []

    def serve(self, *options: str, program: str = "goque.cli worker", **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker; ``ready`` waits for it."""
        with self.log.open("ab") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", *program.split(), "--app", APP, *options],
                env={**os.environ, "GOQUE_DSN": self.queue.dsn, "GOQUE_SECRET": SECRET, **environment},
                stdout=output,
                stderr=output,
            )
        self.workers.append(worker)
        return worker

    def ready(self) -> None:
        """Return when all workers that were started are known."""

        def known() -> bool:
            assert [worker.poll() for worker in self.workers] == [None] * len(self.workers), self.log.read_text()
            return len(self.queue.workers()) == len(self.workers)

        until(known, "the workers are known", patience=60)

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(30)
            finally:
                worker.kill()
        self.queue.close()


@contextmanager
def works(server_dsn: str, template: str, name: str, folder: Path) -> Iterator[Works]:
    """A database of this name for the block; its moves are guarded and noted."""
    with (
        _new_database(server_dsn, f"goque_{name}_{os.getpid()}", template=template) as dsn,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("GOQUE_SECRET", SECRET)
        moves.guard(dsn)
        moves.note(dsn)
        made = Works(dsn, folder / "log")
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def scene(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    made = Scene(dsn, tmp_path)
    yield made
    made.close()

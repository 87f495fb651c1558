"""Tasks that harm the process they run in: they end with a reason, their neighbours are done, the worker lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from goque import Queue
from tests.poisons import MEMORY, harm_nobody_else

SECRET = "a secret for the tests of poison"

pytestmark = pytest.mark.slow


@pytest.fixture
def queue(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    with Queue(dsn) as made:
        yield made


@pytest.fixture
def worker(dsn: str, tmp_path: Path, queue: Queue) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "goque.cli", "worker", "--concurrency", "2", "--max-memory", f"{MEMORY}MiB"]
    environment = {**os.environ, "GOQUE_DSN": dsn, "GOQUE_SECRET": SECRET}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    yield process
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    finally:
        process.kill()


def test_poison_ends_with_its_reason_and_harms_nobody_else(
    queue: Queue, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    harm_nobody_else(queue, tmp_path / "pids")
    assert worker.poll() is None
    assert list(queue.workers(alive=True)["pid"]) == [worker.pid]
    assert psutil.Process(worker.pid).memory_info().rss < 300 << 20  # it has seen nothing of what was too large

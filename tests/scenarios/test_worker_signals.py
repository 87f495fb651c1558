"""How ``goque worker`` ends: by signals, when drained or idle, at a maximum; and that it leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from goque import Queue, Status
from goque.app.batch import Batch

SECRET = "a secret for the tests of signals"
PATIENCE = 30.0


def until(true: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < give_up_at, f"waited in vain: {what}"
        time.sleep(0.02)


class Served:
    """A worker process of this test."""

    def __init__(self, dsn: str, *options: str) -> None:
        command = [sys.executable, "-m", "goque.cli", "worker", "--concurrency", "2", *options]
        environment = {**os.environ, "GOQUE_DSN": dsn, "GOQUE_SECRET": SECRET}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
        self.family: list[psutil.Process] = []

    def send(self, number: int) -> None:
        self.family = self._family()
        self.process.send_signal(number)

    def heard(self, words: str) -> None:
        """Read the log until these words have come."""
        assert self.process.stderr is not None
        assert any(words in line for line in self.process.stderr), f"it never said: {words}"

    def ended(self) -> tuple[int, str]:
        """Exit code and log; nothing of the process's family lives on."""
        self.family = self.family or self._family()
        said = self.process.communicate(timeout=PATIENCE)[1]
        assert not psutil.wait_procs(self.family, timeout=5.0)[1], f"left behind; it said: {said}"
        return self.process.returncode, said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def _family(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


@pytest.fixture
def queue(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    with Queue(dsn) as made:
        yield made


@pytest.fixture
def serve(dsn: str) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*options: str) -> Served:
        started.append(Served(dsn, *options))
        return started[-1]

    yield start
    for served in started:
        served.close()


def gated(queue: Queue, folder: Path, number: int) -> Batch:
    """Tasks that say that they have begun and then wait for a file."""

    def wait_for_gate(place: int, folder: str) -> int:
        import pathlib
        import time

        (pathlib.Path(folder) / f"began-{place}").touch()
        while not (pathlib.Path(folder) / "gate").exists():
            time.sleep(0.01)
        return place

    return queue.map(wait_for_gate, range(number), kwargs={"folder": str(folder)})


def began(folder: Path) -> int:
    return len(list(folder.glob("began-*")))


def simple(queue: Queue, number: int) -> Batch:
    def double(x: int) -> int:
        return 2 * x

    return queue.map(double, range(number))


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_task_that_looks_sees_that_its_worker_is_to_stop(
    queue: Queue, serve: Callable[..., Served], tmp_path: Path, pool: str
) -> None:
    def work(folder: str) -> str:
        import pathlib
        import time

        import goque

        (pathlib.Path(folder) / "began-0").touch()
        while not goque.context().stopping:
            time.sleep(0.01)
        return "stopped in order"

    task = queue.submit(work, str(tmp_path))
    worker = serve("--pool", pool)
    until(lambda: began(tmp_path) == 1, "it runs")
    assert task.status in (Status.NEW, Status.PROCESSING)
    worker.send(signal.SIGTERM)
    code, said = worker.ended()
    assert code == 0, said
    assert task.result() == "stopped in order"


def test_a_first_signal_lets_running_tasks_finish_and_hands_the_others_back(
    queue: Queue, serve: Callable[..., Served], tmp_path: Path
) -> None:
    batch = gated(queue, tmp_path, 20)
    worker = serve()
    until(lambda: began(tmp_path) == 2, "two tasks run")
    worker.send(signal.SIGTERM)
    until(lambda: batch.counts()[Status.PROCESSING] == 2 or began(tmp_path) > 2, "what runs is known")
    (tmp_path / "gate").touch()
    code, said = worker.ended()
    assert code == 0, said
    assert "stopping" in said
    counts = batch.counts()
    assert counts[Status.DONE] == began(tmp_path)
    assert counts[Status.DONE] + counts[Status.NEW] == 20
    assert counts[Status.NEW] > 0
    assert {task.attempts for task in batch.where(status="new").tasks()} == {0}


@pytest.mark.parametrize(("number", "code", "pool"), [(signal.SIGINT, 130, "process"), (signal.SIGTERM, 143, "thread")])
def test_a_second_signal_stops_at_once_and_hands_back_what_ran(
    queue: Queue, serve: Callable[..., Served], tmp_path: Path, number: int, code: int, pool: str
) -> None:
    batch = gated(queue, tmp_path, 2)
    worker = serve("--grace", "10m", "--pool", pool)
    until(lambda: began(tmp_path) == 2, "two tasks run")
    worker.send(signal.SIGTERM)
    worker.heard("stopping; a second signal stops at once")
    worker.process.send_signal(number)
    found, said = worker.ended()
    assert found == code, said
    assert batch.counts()[Status.NEW] == 2
    assert [task.attempts for task in batch.tasks()] == [0, 0]


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_what_does_not_end_within_the_grace_is_handed_back_uncharged(
    queue: Queue, serve: Callable[..., Served], tmp_path: Path, pool: str
) -> None:
    batch = gated(queue, tmp_path, 2)
    worker = serve("--grace", "3.5s", "--pool", pool)
    until(lambda: began(tmp_path) == 2, "two tasks run")
    worker.send(signal.SIGINT)
    code, said = worker.ended()
    assert code == 0, said
    assert batch.counts()[Status.NEW] == 2
    assert [task.attempts for task in batch.tasks()] == [0, 0]


def test_a_stopped_worker_is_gone_from_the_living(queue: Queue, serve: Callable[..., Served], tmp_path: Path) -> None:
    from goque.queries import workers

    gated(queue, tmp_path, 1)
    worker = serve()
    until(lambda: began(tmp_path) == 1, "it works")
    assert len(queue._core.database.all(workers.alive())) == 1
    (tmp_path / "gate").touch()
    sessions = "select count(*) from pg_stat_activity where datname = current_database() and application_name like %s"
    with psycopg.connect(queue.dsn, autocommit=True) as connection:
        assert connection.execute(sessions, ["goque worker%"]).fetchone() == (3,)
        worker.send(signal.SIGTERM)
        assert worker.ended()[0] == 0
        until(lambda: connection.execute(sessions, ["goque worker%"]).fetchone() == (0,), "its sessions are closed")
    assert queue._core.database.all(workers.alive()) == []


def test_drain_ends_when_everything_has_been_done_retries_included(
    queue: Queue, serve: Callable[..., Served], tmp_path: Path
) -> None:
    def fail_once(folder: str) -> str:
        import pathlib

        mark = pathlib.Path(folder) / "failed"
        if not mark.exists():
            mark.touch()
            raise ValueError("once")
        return "then not"

    batch = simple(queue, 2_000)
    task = queue.options(retry=[0.7]).submit(fail_once, str(tmp_path))
    code, said = serve("--drain").ended()
    assert code == 0, said
    assert "drained" in said
    assert batch.counts()[Status.DONE] == 2_000
    assert (task.status, task.attempts) == (Status.DONE, 2)


def test_drain_with_nothing_to_do_ends_at_once(serve: Callable[..., Served]) -> None:
    code, said = serve("--drain").ended()
    assert (code, "drained" in said) == (0, True), said


def test_idle_exit_ends_after_some_time_without_work(queue: Queue, serve: Callable[..., Served]) -> None:
    batch = simple(queue, 100)
    code, said = serve("--idle-exit", "700ms").ended()
    assert (code, "idle" in said) == (0, True), said
    assert batch.counts()[Status.DONE] == 100


def test_max_tasks_ends_after_at_least_so_many(queue: Queue, serve: Callable[..., Served]) -> None:
    batch = simple(queue, 20_000)
    code, said = serve("--max-tasks", "200").ended()
    assert (code, "max-tasks" in said) == (0, True), said
    counts = batch.counts()
    assert counts[Status.DONE] >= 200
    assert counts[Status.DONE] + counts[Status.NEW] == 20_000


def test_children_end_with_a_worker_that_is_killed(queue: Queue, serve: Callable[..., Served], tmp_path: Path) -> None:
    gated(queue, tmp_path, 2)
    worker = serve()
    until(lambda: began(tmp_path) == 2, "two tasks run")
    worker.send(signal.SIGKILL)
    assert len(worker.family) >= 2
    assert worker.ended()[0] == -signal.SIGKILL


def test_variables_for_slots_reach_the_tasks(queue: Queue, serve: Callable[..., Served], tmp_path: Path) -> None:
    def device(place: int, folder: str) -> str:
        import os
        import pathlib
        import time

        (pathlib.Path(folder) / f"began-{place}").touch()
        while len(list(pathlib.Path(folder).glob("began-*"))) < 2:  # until both slots have one
            time.sleep(0.01)
        return os.environ["DEVICE"]

    batch = queue.map(device, range(2), kwargs={"folder": str(tmp_path)})
    assert serve("--slot-env", "DEVICE=left,right", "--drain").ended()[0] == 0
    assert sorted(batch.results(timeout=10)) == ["left", "right"]

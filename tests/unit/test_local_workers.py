"""When a local worker is started anew. Not for: what it does (the scenarios)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from goque.app import local
from goque.app.local import LocalWorkers
from goque.settings import Settings


class FakeProcess:
    """A process that lives until it is told otherwise."""

    def __init__(self) -> None:
        self.returncode: int | None = None
        self.stdin = io.BytesIO()

    def poll(self) -> int | None:
        return self.returncode


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(local.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    processes: list[Any] = []

    def start(self: LocalWorkers, config: dict[str, Any]) -> Any:
        processes.append(FakeProcess())
        return processes[-1]

    monkeypatch.setattr(LocalWorkers, "_start", start)
    return processes


@pytest.fixture
def workers(tmp_path: Path, clock: list[float], started: list[Any]) -> LocalWorkers:
    settings = Settings(dsn=None, home=tmp_path, owner="me", schema="goque", secret=None)
    made = LocalWorkers(settings, "postgresql:///", 2)
    made.serve([7])
    return made


def test_a_worker_that_ended_is_replaced_for_whoever_waits(
    workers: LocalWorkers, clock: list[float], started: list[Any]
) -> None:
    started[0].returncode = -9
    clock[0] += 5
    workers.keep_alive([8])
    assert len(started) == 1, "nobody waits for what it served"
    workers.keep_alive([7, 8])
    workers.keep_alive([7, 8])
    assert len(started) == 2


def test_workers_that_die_at_once_are_started_less_and_less_often_and_that_is_said_once(
    workers: LocalWorkers, clock: list[float], started: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(600):
        started[-1].returncode = 1
        clock[0] += 0.5
        workers.keep_alive([7])
    assert 6 <= len(started) <= 12
    assert caplog.text.count("local workers end soon after they start") == 1
    assert str(workers.settings.home / "log" / "local-workers.log") in caplog.text


def test_one_that_lived_for_long_is_replaced_at_once_again(
    workers: LocalWorkers, clock: list[float], started: list[Any]
) -> None:
    for _ in range(3):
        started[-1].returncode = 1
        clock[0] += 200
        workers.keep_alive([7])
    started[-1].returncode = 1
    clock[0] += local.SHORTEST_PAUSE_S
    workers.keep_alive([7])
    assert len(started) == 5

"""Nothing waits in a worker's hands behind a task that takes long, while another slot or another worker is idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goque import Queue, Status
from goque.app.batch import Batch

PATIENCE = 30.0


@pytest.fixture
def queue(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setenv("GOQUE_SECRET", "a secret for the tests of neighbours")
    with Queue(dsn) as made:
        yield made


def one_waits_for_a_gate(queue: Queue, folder: Path, number: int) -> Batch:
    """Quick tasks with one among them that says that it has begun and then waits for a file."""

    def work(place: int, folder: str, slow: int) -> int:
        import time
        from pathlib import Path

        if place == slow:
            (Path(folder) / "begun").touch()
            while not (Path(folder) / "gate").exists():
                time.sleep(0.01)
        return place

    return queue.map(work, range(number), kwargs={"folder": str(folder), "slow": number // 2})


def until(true: Callable[[], bool], batch: Batch) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < give_up_at, f"still {batch.counts()}"
        time.sleep(0.02)


def all_but_one_are_done(batch: Batch) -> bool:
    counts = batch.counts()
    return counts[Status.DONE] == len(batch) - 1 and counts[Status.PROCESSING] == 1


def test_a_worker_gives_back_what_waits_behind_a_task_that_takes_long(queue: Queue, dsn: str, tmp_path: Path) -> None:
    queue.start_workers(1)
    batch = one_waits_for_a_gate(queue, tmp_path, 2_000)
    until((tmp_path / "begun").exists, batch)
    with Queue(dsn) as other:
        other.start_workers(1)
        until(lambda: all_but_one_are_done(batch), batch)
        (tmp_path / "gate").touch()
        assert batch.results(timeout=PATIENCE) == list(range(len(batch)))
    history = batch.history()
    assert set(history["outcome"]) == {"done"}
    assert history["run"].max() > 1, "some were given back by one worker and taken by the other"
    assert history["task_id"].is_unique, "and giving back leaves no record"


def test_a_slot_takes_what_waits_behind_a_task_that_takes_long_in_another(queue: Queue, tmp_path: Path) -> None:
    queue.start_workers(2)
    batch = one_waits_for_a_gate(queue, tmp_path, 2_000)
    until(lambda: all_but_one_are_done(batch), batch)
    (tmp_path / "gate").touch()
    assert batch.results(timeout=PATIENCE) == list(range(len(batch)))

"""A worker's process does not look through all its objects because it holds many tasks."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from goque.app.garbage import spare_collector
from goque.model.outcomes import Outcome
from goque.worker.claimer import MOST_TO_WRITE
from goque.worker.desk import Ended, Held


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The generations that the collector has looked at, while a process is a worker's."""
    before, looked = gc.get_threshold(), list[int]()

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            looked.append(info["generation"])

    spare_collector()
    gc.callbacks.append(note)
    yield looked
    gc.callbacks.remove(note)
    gc.set_threshold(*before)
    gc.unfreeze()


def test_as_many_tasks_as_a_worker_holds_come_and_go_without_a_collection(collections: list[int]) -> None:
    for claim in range(20):
        held = [
            Held(id, 1, 1, 0, 3, 0, id, None, None, False, b"arguments", None, None, claim, 0.0)
            for id in range(MOST_TO_WRITE)
        ]
        ended = [Ended(one, Outcome("done", result=b"result")) for one in held]
        del held, ended
    assert collections == []


def test_circles_still_go(collections: list[int]) -> None:
    for _ in range(100_000):
        circle: list[object] = []
        circle.append(circle)
    assert collections

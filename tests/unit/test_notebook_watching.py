"""What a watch asks, and how often, on a clock of the test's own. Not for: what is shown of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from goque.errors import DatabaseUnavailable
from goque.model.states import Status
from goque.notebook.view import Failures, Running
from goque.notebook.watching import Glance, Watch

FAILURE = Failures(1, "ValueError", "bad", "f.py:1 f", 0, "")


class Batch:
    """A batch whose state the test sets; it counts what it is asked, and answering takes its time."""

    title = "batch 7"
    total = 10

    def __init__(self) -> None:
        self.now = 0.0
        self.cost = 0.0
        self.away = False
        self.counts: dict[Status, int] = {Status.NEW: 10}
        self.asked: Counter[str] = Counter()

    def clock(self) -> float:
        return self.now

    def _answer(self, question: str) -> None:
        self.asked[question] += 1
        self.now += self.cost if question != "glance" else 0.0

    def glance(self) -> Glance:
        if self.away:
            raise DatabaseUnavailable("gone")
        self._answer("glance")
        return Glance(dict(self.counts), age=self.now + 100, workers=1, slots=4)

    def running(self) -> Sequence[Running]:
        self._answer("running")
        return [Running(3, 5.0)]

    def failures(self) -> Sequence[Failures]:
        self._answer("failures")
        return [FAILURE]

    def stuck(self) -> str | None:
        self._answer("stuck")
        return "no worker is alive"


@pytest.fixture
def batch() -> Batch:
    return Batch()


@pytest.fixture
def watch(batch: Batch) -> Watch:
    return Watch(batch, batch.clock)


def test_what_costs_more_than_counts_is_asked_seldom_and_only_when_there_is_something(
    batch: Batch, watch: Watch
) -> None:
    for _ in range(100):
        batch.now += 0.25
        watch.look()
    assert batch.asked == {"glance": 100, "stuck": 8}
    assert watch.view.note == "no worker is alive"
    batch.counts = {Status.PROCESSING: 4, Status.ATTEMPTS_LEFT: 1, Status.NEW: 5}
    batch.asked.clear()
    for _ in range(40):
        batch.now += 0.25
        watch.look()
    # The failures are still the same ones, so that once is enough.
    assert (batch.asked["running"], batch.asked["failures"]) == (10, 1)
    assert (watch.view.running, watch.view.failures) == ([Running(3, 5.0)], [FAILURE])


def test_a_question_that_takes_long_is_asked_less_often(batch: Batch, watch: Watch) -> None:
    batch.counts = {Status.PROCESSING: 10}
    batch.cost = 0.5
    for _ in range(400):
        batch.now += 0.25
        watch.look()
    for question in ("running", "stuck"):
        assert 0.03 <= batch.cost * batch.asked[question] / batch.now <= 0.06


def test_the_end_is_told_whole_and_how_long_it_took_only_by_who_saw_it(batch: Batch, watch: Watch) -> None:
    batch.counts = {Status.DONE: 9, Status.ERROR: 1}
    watch.look()
    batch.counts = {Status.DONE: 8, Status.ATTEMPTS_LEFT: 2}
    batch.now = 1.0
    view = watch.look()
    assert batch.asked["failures"] == 2, "the last failures are missing"
    assert (view.elapsed, view.complete, view.running, view.workers) == (101.0, True, (), None)
    batch.now = 50.0
    assert watch.look().elapsed == 101.0
    assert Watch(batch, batch.clock).look().elapsed is None


def test_an_outage_is_told_and_what_was_known_stays(batch: Batch, watch: Watch) -> None:
    watch.look()
    batch.away = True
    assert watch.look().counts == {Status.NEW: 10}
    assert "trying again" in watch.view.note
    batch.away = False
    assert watch.look().note == ""

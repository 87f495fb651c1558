"""What code can ask and say from inside a task, and what its verdicts do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import goque
from goque import InvalidInput, Queue, Status, TaskCanceled, WaitingInsideTask
from tests.integration.conftest import until


def test_the_context_tells_who_and_where_one_is(q: Queue) -> None:
    def tell() -> Any:
        here = goque.context()
        left = here.deadline - time.monotonic() if here.deadline else None
        return here.task, here.attempt, here.batch, here.position, here.metadata, left, here.stopping, here.restored

    task = q.options(timeout=60, metadata={"a": 1}).submit(tell)
    told = task.result(timeout=20)
    assert told[:5] == (task.id, 1, None, None, {"a": 1})
    assert 50 < told[5] <= 60
    assert told[6:] == (False, None)
    batch = q.map(lambda _: (goque.context().batch, goque.context().position), range(2))
    assert batch.results(timeout=20) == [(batch.id, 0), (batch.id, 1)]


def test_there_is_no_context_outside_of_a_task() -> None:
    with pytest.raises(InvalidInput, match="runs in a task"):
        goque.context()


def test_a_checkpoint_is_restored_in_the_next_attempt(q: Queue) -> None:
    def counting() -> list[int]:
        here = goque.context()
        seen = [*(here.restored or []), here.attempt]
        here.checkpoint(seen)
        if len(seen) < 3:
            raise ValueError("again")
        return seen

    task = q.options(retry=[0, 0]).submit(counting)
    assert task.result(timeout=20) == [1, 2, 3]


def test_snooze_runs_again_later_and_charges_nothing(q: Queue, tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")

    def not_now() -> str:
        import pathlib

        if not pathlib.Path(mark).exists():
            pathlib.Path(mark).touch()
            raise goque.Snooze(0.3)
        return "now"

    task = q.options(max_attempts=1).submit(not_now)
    assert task.result(timeout=20) == "now"
    assert (task.attempts, task.status) == (1, Status.DONE)


def test_retry_after_decides_when_the_next_attempt_is(q: Queue) -> None:
    def later() -> None:
        raise goque.RetryAfter("1h", "the service is closed")

    task = q.submit(later)
    until(lambda: task._row().attempts, "it has run")
    with pytest.raises(TimeoutError):
        task.result(timeout=0.1)
    row = task._row()
    assert (row.status, row.attempts, task.waiting_for) == (Status.ERROR, 1, "time")
    assert row.run_at is not None
    assert 3500 < (row.run_at - q.now()).total_seconds() <= 3600
    assert task.retry().changed == 1
    until(lambda: task.attempts, "it has run once more")
    assert task.attempts == 1


def test_give_up_ends_it_whatever_attempts_remain(q: Queue) -> None:
    def hopeless() -> None:
        raise goque.GiveUp("no use")

    task = q.options(max_attempts=9).submit(hopeless)
    assert isinstance(task.exception(timeout=20), goque.GiveUp)
    assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 1)


def test_cancel_from_inside_ends_it_as_canceled_with_the_reason(q: Queue) -> None:
    def unwanted() -> None:
        raise goque.Cancel("the order was withdrawn")

    task = q.submit(unwanted)
    with pytest.raises(TaskCanceled, match="the order was withdrawn"):
        task.result(timeout=20)
    assert (task.status, task.attempts) == (Status.CANCELED, 0)


def test_waiting_inside_a_task_is_refused(served_dsn: str, q: Queue) -> None:
    def waits(dsn: str, task: int, batch: int) -> str:
        from goque import Queue

        with Queue(dsn, listen=False) as inner:
            for wait in (inner.task(task).result, inner.batch(batch).results, inner.batch(batch).wait):
                try:
                    wait()
                except WaitingInsideTask as error:
                    said = str(error)
                else:
                    return "it waited"
        return said

    other = q.submit(pow, 1, 1)
    batch = q.map(pow, [1], [1])
    assert "may not wait" in q.submit(waits, served_dsn, other.id, batch.id).result(timeout=20)


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (goque.Fixed(0), 3),
        (goque.Exponential(0.01), 3),
        (goque.Fibonacci(0.01), 3),
        ([0, 0, 0, 0], 3),
        ([0], 2),
        ([], 1),
        (lambda attempt, error: 0 if attempt < 2 and isinstance(error, OSError) else None, 2),
    ],
    ids=["fixed", "exponential", "fibonacci", "list", "short list", "empty list", "callable"],
)
def test_a_retry_policy_decides_how_often(q: Queue, policy: Any, attempts: int) -> None:
    def fail() -> None:
        raise OSError("again")

    task = q.options(max_attempts=3, retry=policy).submit(fail)
    assert isinstance(task.exception(timeout=20), OSError)
    assert (task.attempts, task.status) == (attempts, Status.ATTEMPTS_LEFT)


def test_which_errors_are_retried_can_be_said(q: Queue) -> None:
    def fail(kind: type[Exception]) -> None:
        raise kind("again")

    def tried(kind: type[Exception], **options: Any) -> int:
        task = q.options(retry=[0, 0, 0], **options).submit(fail, kind)
        assert isinstance(task.exception(timeout=20), kind)
        return task.attempts

    assert tried(ValueError) == 3
    assert tried(TypeError) == tried(AttributeError) == tried(ImportError) == tried(NotImplementedError) == 1
    assert tried(TypeError, retry_on=[TypeError]) == 3
    assert tried(ValueError, retry_on=[TypeError]) == 1
    assert tried(ValueError, give_up_on=[ValueError]) == 1
    assert tried(UnicodeError, give_up_on=[ValueError]) == 1


def test_a_policy_that_is_none_is_refused(alone: Queue) -> None:
    for policy in ("often", 3, ["soon"], goque.Fixed, [-1]):
        with pytest.raises(InvalidInput):
            alone.options(retry=policy).submit(pow, 1, 1)

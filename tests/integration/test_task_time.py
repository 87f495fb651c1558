"""Time: delays, expiry, timeouts, and stopping what runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from goque import Queue, RetryAfter, Status, Task, TaskCanceled, TaskFailed
from tests.integration.conftest import until


def began(task: Task) -> datetime:
    at = task._row().started_at
    assert at is not None
    return at


def test_a_delayed_task_waits_for_its_time(q: Queue) -> None:
    before = q.now()
    task = q.options(delay="500ms").submit(pow, 2, 2)
    assert (task.status, task.waiting_for) == (Status.PENDING, "time")
    assert task.result(timeout=20) == 4
    assert began(task) - before >= timedelta(seconds=0.5)


def test_a_delayed_batch_waits_for_its_time(q: Queue) -> None:
    before = q.now()
    batch = q.options(delay=timedelta(seconds=0.4)).map(lambda x: x, range(3))
    assert batch.counts()[Status.PENDING] == 3
    assert batch.results(timeout=20) == [0, 1, 2]
    assert began(batch[0]) - before >= timedelta(seconds=0.4)


def test_run_at_takes_any_time_zone(alone: Queue) -> None:
    at = datetime(2100, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    single, batch = alone.options(run_at=at).submit(pow, 1, 1), alone.options(run_at=at).map(abs, [1])
    assert single._row().run_at == batch[0]._row().run_at == datetime(2100, 1, 1, 7, tzinfo=UTC)
    assert single.waiting_for == batch[0].waiting_for == "time"


def test_a_run_at_in_the_past_is_now(q: Queue) -> None:
    assert q.options(run_at=datetime(2000, 1, 1, tzinfo=UTC)).submit(pow, 2, 1).result(timeout=20) == 2
    assert q.options(delay=0).submit(pow, 3, 1).result(timeout=20) == 3


def test_work_that_expires_before_it_starts_is_canceled(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Queue(dsn) as queue:
        past = datetime(2000, 1, 1, tzinfo=UTC)
        task = queue.options(expires=past).submit(pow, 2, 2)
        batch = queue.options(expires=past).map(abs, [1, 2])
        living = queue.options(expires="1h").submit(pow, 2, 2)
        queue.start_workers(1)
        assert living.result(timeout=20) == 4
        with pytest.raises(TaskCanceled, match="expired"):
            task.result(timeout=20)
        assert batch.wait(20).counts()[Status.CANCELED] == 2


def test_what_no_worker_may_take_expires_as_well(q: Queue) -> None:
    def fail() -> None:
        raise RetryAfter(3600)

    failing = q.options(expires="2s").submit(fail)
    until(lambda: failing.status is Status.ERROR, "it failed once")
    q.pause("held up")
    tagged = q.options(tags=["nobody has it"], expires=0.2).map(abs, [1, 2])
    paused = q.options(queue="held up", expires=0.2).submit(abs, 3)
    delayed = q.options(delay="1h", expires=0.2).submit(abs, 4)
    living = q.options(queue="held up", expires="1h").submit(abs, 5)
    followed = q.options(queue="held up", expires=0.2, external_id=str).map(abs, [6, 6])
    for batch in (tagged, followed):
        assert batch.wait(20).counts()[Status.CANCELED] == 2
    for task in (paused, delayed, failing):
        with pytest.raises(TaskCanceled, match="expired"):
            task.result(timeout=20)
    assert (living.status, failing.attempts) == (Status.NEW, 1)
    q.resume("held up")
    assert living.result(timeout=20) == 5


def test_a_timeout_stops_the_code_and_counts_as_an_attempt(q: Queue, tmp_path: Path) -> None:
    def hang(mark: str) -> None:
        import pathlib

        while True:
            pathlib.Path(mark).touch()

    mark = tmp_path / "mark"
    task = q.options(timeout=0.5, max_attempts=1).submit(hang, str(mark))
    with pytest.raises(TaskFailed, match="(?i)timeout|longer than"):
        task.result(timeout=20)
    assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 1)
    stopped_at = mark.stat().st_mtime_ns
    q.submit(pow, 1, 1).result(timeout=20)
    assert mark.stat().st_mtime_ns == stopped_at


def test_a_timed_out_task_is_tried_again(q: Queue, tmp_path: Path) -> None:
    def slow_once(mark: str) -> str:
        import pathlib
        import time

        if not pathlib.Path(mark).exists():
            pathlib.Path(mark).touch()
            time.sleep(30)
        return "second time"

    task = q.options(timeout=0.4, retry=[0, 0]).submit(slow_once, str(tmp_path / "mark"))
    assert task.result(timeout=20) == "second time"
    assert task.attempts == 2


def test_a_deadline_of_the_code_s_own_is_an_error_like_any_other(q: Queue) -> None:
    def impatient() -> None:
        raise TimeoutError("the service did not answer")

    task = q.options(max_attempts=2, retry=[0], timeout="1m").submit(impatient)
    assert str(task.exception(timeout=20)) == "the service did not answer"
    assert q.history(task=task.id)["outcome"].tolist() == ["error", "error"]


def test_a_timed_out_task_is_given_up_where_timeouts_are_not_to_be_retried(q: Queue) -> None:
    def sleep() -> None:
        import time

        time.sleep(30)

    options = q.options(timeout=0.3, max_attempts=9, retry=[0] * 8)
    for task in (
        options.options(give_up_on=[TimeoutError]).submit(sleep),
        options.options(retry_on=[ConnectionError]).submit(sleep),
    ):
        assert task.exception(timeout=20) is not None
        assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 1)


def test_a_crash_comes_again_when_the_policy_says_and_ends_with_its_list(q: Queue) -> None:
    def crash() -> None:
        import os

        os._exit(7)

    task = q.options(retry=[0.0], max_attempts=9).submit(crash)
    assert task.exception(timeout=20) is not None
    assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 2)


def test_a_cancel_stops_running_code_within_a_second(q: Queue, tmp_path: Path) -> None:
    def run(mark: str) -> None:
        import pathlib

        while True:
            pathlib.Path(mark).touch()

    mark = tmp_path / "mark"
    task = q.submit(run, str(mark))
    until(mark.exists, "it runs")
    assert task.cancel("enough")
    assert task.status is Status.CANCELED
    began = time.monotonic()
    until(lambda: task._row().worker_id is None, "its code has stopped")
    assert time.monotonic() - began < 3
    stopped_at = mark.stat().st_mtime_ns
    q.submit(pow, 1, 1).result(timeout=20)
    assert mark.stat().st_mtime_ns == stopped_at
    with pytest.raises(TaskCanceled, match="enough"):
        task.result()
    assert task.attempts == 0


def test_a_canceled_task_whose_code_still_runs_is_retried_when_it_has_stopped(q: Queue, tmp_path: Path) -> None:
    def wait_or_pass(mark: str) -> str:
        import pathlib
        import time

        if pathlib.Path(mark).exists():
            return "again"
        pathlib.Path(mark).touch()
        time.sleep(60)
        return "never"

    task = q.submit(wait_or_pass, str(tmp_path / "mark"))
    until((tmp_path / "mark").exists, "it runs")
    assert task.cancel()
    assert task.retry().changed == 1
    assert task.result(timeout=20) == "again"


def test_a_batch_is_canceled_whole_running_tasks_included(q: Queue, tmp_path: Path) -> None:
    def run(place: int, folder: str) -> None:
        import pathlib
        import time

        (pathlib.Path(folder) / str(place)).touch()
        time.sleep(60)

    batch = q.map(run, range(500), kwargs={"folder": str(tmp_path)})
    until(lambda: len(list(tmp_path.iterdir())) >= 2, "two of them run")
    changed = batch.cancel("wrong data")
    assert (changed.changed, changed.skipped) == (500, {})
    assert batch.counts()[Status.CANCELED] == 500
    assert batch.cancel().skipped == {"already final": 500}
    assert q.submit(pow, 2, 2).result(timeout=20) == 4
    with pytest.raises(TaskCanceled, match="wrong data"):
        batch.results()


def test_a_paused_batch_starts_nothing_more_and_a_resumed_one_goes_on(q: Queue) -> None:
    batch = q.options(delay="300ms").map(lambda x: x, range(20)).pause()
    q.options(delay="600ms").submit(pow, 1, 1).wait(20)
    assert batch.counts()[Status.DONE] == 0
    until(lambda: batch[0].waiting_for == "paused", "it is due and says what it waits for")
    assert batch.resume().results(timeout=20) == list(range(20))


def test_a_paused_queue_accepts_work_and_runs_it_later(dsn: str) -> None:
    with Queue(dsn, workers=1) as queue:
        queue.pause("slow")
        held, free = queue.options(queue="slow").submit(pow, 2, 2), queue.submit(pow, 3, 2)
        assert free.result(timeout=20) == 9
        assert (held.status, held.waiting_for) == (Status.NEW, "paused")
        queue.resume("slow")
        assert held.result(timeout=20) == 4
        queue.pause()
        later = queue.options(queue="never seen before").submit(pow, 2, 3)
        with pytest.raises(TimeoutError):
            later.result(timeout=0.7)
        assert later.waiting_for == "paused"
        queue.resume()
        assert later.result(timeout=20) == 8


def test_pausing_is_for_whole_batches(alone: Queue) -> None:
    batch: Any = alone.map(abs, [1, 2])
    with pytest.raises(ValueError, match="whole batches"):
        batch[:1].pause()

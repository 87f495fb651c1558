"""``goque.testing``: what runs in the test itself leaves what a worker would leave, and time moves when told to."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import goque
from goque import Fixed, InvalidInput, Queue, RetryAfter, Snooze, Status, TaskCanceled
from goque.app.core import refuse_waiting_inside
from goque.testing import advance, run_queued
from tests.architecture.sources import ROOT

GUIDE = ROOT / "docs" / "testing.md"
seen: list[Any] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    seen.clear()


def note(value: Any) -> Any:
    seen.append(value)
    return value


def fail(value: Any) -> None:
    note(value)
    raise ValueError(f"no {value}")


def test_what_is_queued_runs_here_in_this_thread(queue: Queue) -> None:
    batch = queue.map(lambda n: note((n, os.getpid(), threading.get_ident())), range(3))
    assert [task.position for task in run_queued(queue)] == [0, 1, 2]
    assert [n for n, *_ in seen] == [0, 1, 2]
    assert batch.results() == [(n, os.getpid(), threading.get_ident()) for n in range(3)]


def test_tasks_run_by_priority_and_then_by_age_whatever_they_call(queue: Queue) -> None:
    first, second = queue.submit(note, 1), queue.submit(str, 2)
    third, urgent = queue.submit(note, 3), queue.options(priority=1).submit(str, 4)
    assert run_queued(queue) == [urgent, first, second, third]
    assert run_queued(queue) == []


def test_a_failure_is_recorded_and_tried_again_when_its_time_has_come(queue: Queue) -> None:
    task = queue.options(retry=Fixed("10m"), max_attempts=2).submit(fail, "way")
    assert run_queued(queue) == [task]
    assert (task.status, task.attempts, task.waiting_for) == (Status.ERROR, 1, "time")
    assert run_queued(queue) == []
    advance(queue, "9m")
    assert run_queued(queue) == []
    advance(queue, timedelta(minutes=1))
    assert run_queued(queue) == [task]
    assert task.status is Status.ATTEMPTS_LEFT
    with pytest.raises(ValueError, match="no way"):
        task.result()
    history = queue.history(order_by="run")
    assert history["outcome"].tolist() == ["error", "error"]
    assert history["error_type"].tolist() == ["ValueError", "ValueError"]
    assert history["args_repr"].tolist() == ["'way'", "'way'"]


def test_retries_that_are_due_at_once_follow_unless_one_pass_is_asked_for(queue: Queue) -> None:
    task = queue.options(retry=Fixed(0), max_attempts=3).submit(fail, 1)
    assert run_queued(queue, until_idle=False) == [task]
    assert run_queued(queue) == [task, task]
    assert task.attempts == 3


def test_tasks_may_cancel_snooze_and_say_when_they_want_to_come_back(queue: Queue) -> None:
    def canceled() -> None:
        raise goque.Cancel("not today")

    def snoozed() -> None:
        raise Snooze("1h")

    def later() -> None:
        raise RetryAfter("2h")

    tasks = [queue.submit(canceled), queue.submit(snoozed), queue.submit(later)]
    run_queued(queue)
    assert [task.status for task in tasks] == [Status.CANCELED, Status.PENDING, Status.ERROR]
    assert [task.attempts for task in tasks] == [0, 0, 1]
    with pytest.raises(TaskCanceled, match="not today"):
        tasks[0].result()


def test_a_task_has_its_context_and_leaves_none_behind(queue: Queue) -> None:
    def work() -> int:
        context = goque.context()
        context.progress(1, 2)
        if context.attempt == 1:
            context.checkpoint({"at": 7})
            raise ValueError
        assert isinstance(context.restored, dict)
        return int(context.restored["at"])

    task = queue.options(retry=Fixed(0)).submit(work)
    run_queued(queue)
    assert task.result() == 7
    refuse_waiting_inside()
    with pytest.raises(InvalidInput, match="none runs"):
        goque.context()


def test_what_a_task_prints_and_logs_is_kept_and_shown(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    def talk() -> None:
        print("printed")
        logging.getLogger("theirs").warning("logged")

    task = queue.submit(talk)
    run_queued(queue)
    assert task.logs == "printed\nlogged\n"
    assert capsys.readouterr().out == "printed\n"


def test_coroutines_run_to_their_end(queue: Queue) -> None:
    async def work(n: int) -> int:
        return n + 1

    batch = queue.map(work, [1, 2])
    run_queued(queue)
    assert batch.results() == [2, 3]


def test_a_run_that_took_longer_than_its_timeout_fails_by_it(queue: Queue) -> None:
    task = queue.options(timeout=1e-6, max_attempts=1).submit(sum, range(10_000))
    run_queued(queue)
    assert queue.history()["outcome"].tolist() == ["timeout"]
    assert task.status is Status.ATTEMPTS_LEFT


def test_what_tasks_wait_for_is_found_by_time(queue: Queue) -> None:
    delayed = queue.options(delay="1d").submit(note, "delayed")
    expiring = queue.options(expires="2h", delay="1h").submit(note, "expiring")
    assert run_queued(queue) == []
    advance(queue, "3h")
    assert run_queued(queue) == []
    assert (expiring.status, delayed.status) == (Status.CANCELED, Status.PENDING)
    advance(queue, "22h")
    assert run_queued(queue) == [delayed]


def test_time_moves_every_moment_and_nothing_else(queue: Queue) -> None:
    queue.submit(note, 1)
    run_queued(queue)
    queue.submit(note, 2)
    before = queue.tasks()
    advance(queue, "1h")
    after = queue.tasks()
    moments = ["created_at", "started_at", "finished_at"]
    assert {gap for name in moments for gap in (before[name] - after[name]).dropna()} == {timedelta(hours=1)}
    rest = [name for name in before if name not in moments]
    assert after[rest].equals(before[rest])


def test_time_does_not_go_back(queue: Queue) -> None:
    with pytest.raises(InvalidInput, match="only goes on"):
        advance(queue, -1)


def test_time_stands_still_where_the_database_is_not_one_for_tests(queue: Queue) -> None:
    with psycopg.connect(queue.dsn) as connection:
        connection.execute("delete from goque.setting where name = 'test'")
    with pytest.raises(InvalidInput, match="not made for a test"):
        advance(queue, "1h")


def test_a_module_that_is_missing_leaves_the_task_to_others(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def f():\n    return 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import beside  # type: ignore[import-not-found]

        with pytest.warns(UserWarning, match="beside"):
            task = queue.submit(beside.f)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("beside", None)
    assert run_queued(queue) == [task]
    assert (task.status, task.attempts, task.waiting_for) == (Status.NEW, 0, "module beside")


def test_named_types_run_when_their_app_is_given_and_what_tasks_submit_follows(queue: Queue) -> None:
    jobs = goque.Registry()

    @jobs.task("welcome")
    def welcome(name: str) -> str:
        goque.context().submit(note, name)
        goque.context().enqueue("greet", name)
        return name

    @jobs.task("greet")
    def greet(name: str) -> str:
        return f"hello {name}"

    task = queue.enqueue("welcome", "ada")
    assert run_queued(queue) == []
    ran = run_queued(queue, app=jobs)
    assert ran[0] == task
    assert sorted(str(one.result()) for one in ran[1:]) == sorted(["hello ada", "ada"])
    assert "ada" in seen


def test_hooks_run_around_named_types_here_too(queue: Queue) -> None:
    jobs = goque.Registry()

    @jobs.before
    def veto(task: goque.TaskContext) -> None:
        note("before")
        if task.metadata.get("unwanted"):
            raise goque.Cancel("nobody wants it")

    @jobs.after("greet")
    def hear(task: goque.TaskContext, outcome: goque.TaskOutcome) -> None:
        note((outcome.kind, outcome.value))

    jobs.task("greet")(lambda name: note(f"hello {name}"))
    wanted, unwanted = queue.enqueue("greet", "ada"), queue.enqueue("greet", "bob", metadata={"unwanted": True})
    run_queued(queue, app=jobs)
    assert seen == ["before", "hello ada", ("done", "hello ada"), "before", ("canceled", None)]
    assert (wanted.status, unwanted.status) == (Status.DONE, Status.CANCELED)


def test_a_queue_that_never_comes_to_rest_is_told(queue: Queue) -> None:
    def again() -> None:
        raise Snooze(0)

    queue.submit(again)
    with pytest.raises(InvalidInput, match="5 runs"):
        run_queued(queue, most=5)


def test_an_interrupt_ends_the_test_and_charges_no_task(queue: Queue) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    task = queue.submit(interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_queued(queue)
    assert (task.status, task.attempts) == (Status.NEW, 0)
    assert queue.workers(alive=True).empty


def test_a_task_that_somebody_holds_is_left(queue: Queue) -> None:
    task = queue.submit(note, 1)
    with psycopg.connect(queue.dsn) as connection:
        connection.execute("select from goque.task for update")
        assert run_queued(queue) == []
    assert run_queued(queue) == [task]


def test_tags_are_offered_as_a_worker_does(queue: Queue) -> None:
    task = queue.options(tags=["gpu"]).submit(note, 1)
    assert run_queued(queue) == []
    assert run_queued(queue, tags=["gpu"]) == [task]


def test_code_under_test_that_makes_a_queue_meets_the_same_database(queue: Queue) -> None:
    with Queue() as theirs:
        theirs.submit(note, "theirs")
    run_queued(queue)
    assert seen == ["theirs"]


def test_the_tests_that_the_guide_shows_pass(server_dsn: str, tmp_path: Path) -> None:
    files = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(files) >= 3
    for name, text in files:
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    environment = os.environ | {"GOQUE_TEST_DSN": server_dsn}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout

"""What code in a task can do to itself and its process, and what its task and its neighbours see of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goque import NotSerializable, Queue, ResultTooLarge, Status, TaskFailed
from tests.integration.conftest import until


@pytest.fixture
def once(q: Queue) -> Callable[..., Any]:
    """Submit a call that gets one attempt, wait for it, and check that the queue still works."""

    def run(func: Callable[..., Any], *args: Any, **options: Any) -> Any:
        task = q.options(max_attempts=1, **options).submit(func, *args)
        task.wait(30)
        assert q.submit(pow, 2, 2).result(timeout=20) == 4
        return task

    return run


def test_a_result_that_cannot_be_pickled_fails_the_task_and_is_not_retried(q: Queue) -> None:
    def generator() -> Any:
        return {"inner": (x for x in range(3))}

    task = q.options(max_attempts=5).submit(generator)
    assert isinstance(task.exception(timeout=20), NotSerializable)
    assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 1)
    assert "inner" in str(task.exception())
    assert "generator" in str(task.exception())


def test_a_result_over_the_limit_fails_the_task_and_names_the_remedy(q: Queue) -> None:
    def too_much() -> bytes:
        return bytes(129 * 1024 * 1024)

    task = q.options(max_attempts=5).submit(too_much)
    with pytest.raises(ResultTooLarge, match="134,217,728 bytes; write it to a file"):
        task.result(timeout=30)
    assert task.attempts == 1


def test_an_exception_that_cannot_be_pickled_is_told_by_its_text(once: Callable[..., Any]) -> None:
    def fail() -> None:
        import threading

        raise ValueError("locked", threading.Lock())

    task = once(fail)
    with pytest.raises(TaskFailed, match="ValueError: .*locked"):
        task.result()
    assert "raise ValueError" in task.traceback


def test_an_exception_that_cannot_be_unpickled_is_told_by_its_text(once: Callable[..., Any]) -> None:
    def fail() -> None:
        home = os.getpid()

        def at_home_only() -> int:
            if os.getpid() != home:
                raise RuntimeError("not here")
            return home

        class Homesick:
            def __reduce__(self) -> Any:
                return at_home_only, ()

            def __repr__(self) -> str:
                return "hard to read"

        raise ValueError(Homesick())

    with pytest.raises(TaskFailed, match="hard to read"):
        once(fail).result()


def test_an_exception_whose_text_cannot_be_had_is_still_a_failure(once: Callable[..., Any]) -> None:
    def fail() -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no words")

        raise Mute

    task = once(fail)
    assert type(task.exception()).__name__ == "Mute"
    assert "raise Mute" in task.traceback


def test_sys_exit_is_a_failure_of_the_task(once: Callable[..., Any]) -> None:
    def leave() -> None:
        import sys

        sys.exit(3)

    task = once(leave)
    with pytest.raises(TaskFailed, match="SystemExit: 3"):
        task.result()
    assert task.status is Status.ATTEMPTS_LEFT


def test_keyboard_interrupt_inside_a_task_is_a_failure_of_the_task(once: Callable[..., Any]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(TaskFailed, match="KeyboardInterrupt"):
        once(interrupt).result()


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda: os._exit(7), "7"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL|signal 9"),
        (lambda: __import__("ctypes").string_at(0), "SIGSEGV|signal 11"),
        (lambda: os.abort(), "SIGABRT|signal 6"),
    ],
    ids=["os._exit", "kill", "segfault", "abort"],
)
def test_the_death_of_a_child_is_charged_to_its_task_and_says_how(
    once: Callable[..., Any], end: Callable[[], None], words: str
) -> None:
    task = once(end)
    with pytest.raises(TaskFailed, match=words):
        task.result()
    assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 1)


def test_a_crash_costs_the_tasks_behind_it_nothing(q: Queue) -> None:
    def crash_at_50(x: int) -> int:
        if x == 50:
            os._exit(1)
        return x

    batch = q.map(crash_at_50, range(100), max_attempts=1)
    results = batch.results(errors="return", timeout=30)
    assert [x for x in results if not isinstance(x, Exception)] == [x for x in range(100) if x != 50]
    assert isinstance(results[50], TaskFailed)
    assert {task.attempts for task in batch[45:55].tasks()} == {1}


def test_an_endless_loop_in_c_is_stopped_by_its_timeout(once: Callable[..., Any]) -> None:
    def endless() -> None:
        import itertools

        sum(itertools.repeat(0))

    task = once(endless, timeout=0.5)
    with pytest.raises(TaskFailed):
        task.result()
    assert task.run_s == pytest.approx(0.5, abs=2.0)


def test_floods_of_output_keep_their_head_and_tail(once: Callable[..., Any]) -> None:
    def shout() -> str:
        print("the first line")
        line = "x" * 1023 + "\n"
        import sys

        for _ in range(100 * 1024):
            sys.stdout.write(line)
        print("the last line")
        return "done"

    task = once(shout)
    assert task.result() == "done"
    assert "the first line" in task.logs
    assert "the last line" in task.logs
    assert len(task.logs) < 1_000_000


def test_output_with_nul_and_broken_text_is_kept(once: Callable[..., Any]) -> None:
    def strange() -> None:
        import sys

        print("nul\0 and surrogate \udc80 end")
        sys.stdout.flush()
        os.write(1, b"\xff\xfe raw\n")
        raise ValueError("nul\0 in the text")

    task = once(strange)
    assert task.status is Status.ATTEMPTS_LEFT
    assert "end" in task.logs
    assert "nul" in str(task.exception())


def test_a_task_that_forks_gives_one_result(once: Callable[..., Any]) -> None:
    def fork() -> str:
        import warnings

        warnings.simplefilter("ignore")
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "parent"

    assert once(fork).result() == "parent"


def test_a_fork_that_runs_on_into_the_task_s_end_does_not_answer_twice(q: Queue, once: Callable[..., Any]) -> None:
    def fork() -> str:
        import warnings

        warnings.simplefilter("ignore")
        return "child" if os.fork() == 0 else "parent"

    task = once(fork)
    assert task.result() == "parent"
    assert q.map(lambda x: x, range(50)).results(timeout=30) == list(range(50))


def test_threads_that_are_left_behind_do_not_hold_up_the_next_task(once: Callable[..., Any]) -> None:
    def leave() -> int:
        import threading
        import time

        for _ in range(3):
            threading.Thread(target=time.sleep, args=(60,)).start()
        return threading.active_count()

    assert once(leave).result() >= 4


def test_a_task_that_closes_its_streams_still_answers(once: Callable[..., Any]) -> None:
    def close() -> str:
        import sys

        sys.stdout.close()
        sys.stderr.close()
        return "still here"

    assert once(close).result() == "still here"


def test_a_module_that_no_worker_has_is_named_and_charges_nothing(dsn: str, tmp_path: Path, run_script: Any) -> None:
    (tmp_path / "only_here_module.py").write_text("def f(x):\n    return x\n")
    script = f"""
        import json, sys, warnings
        warnings.simplefilter("ignore")
        sys.path.insert(0, {str(tmp_path)!r})
        import only_here_module
        from goque import Queue
        with Queue() as q:
            print(json.dumps(q.submit(only_here_module.f, 1).id))
        """
    id = run_script(script, dsn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOQUE_SECRET", "a secret for the tests of the public face")
        with Queue(dsn) as queue:
            queue.start_workers(1)
            task = queue.task(id)
            until(lambda: task.waiting_for == "module only_here_module", "the missing module is named")
            assert (task.status, task.attempts) == (Status.NEW, 0)

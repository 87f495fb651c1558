"""One task: the words of Future, what it knows of its run, and how its failure looks to who asks."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
import time
import traceback
from typing import Any

import pytest

from goque import NotFound, Queue, Status, TaskCanceled, TaskFailed
from tests.integration.conftest import until


class Spoiled(Exception):
    """An exception of the user's own, with data."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"spoiled with {code}")
        self.code = code
        self.detail = detail


def test_a_task_has_the_words_of_a_future(q: Queue) -> None:
    task = q.submit(pow, 2, 5)
    assert task.result(timeout=20) == 32
    assert (task.exception(), task.done(), task.running(), task.cancelled()) == (None, True, False, False)
    assert not task.cancel()
    assert task.add_done_callback is not None
    assert all(hasattr(task, word) for word in ("result", "exception", "done", "cancel", "cancelled", "running"))


def test_a_task_knows_how_it_was_called_and_how_it_went(q: Queue) -> None:
    def work(a: int, *, b: int) -> int:
        print("printed")
        return a + b

    task = q.options(external_id="knows", metadata={"k": "v"}).submit(work, 1, b=2)
    task.wait(20)
    assert (task.status, task.attempts, task.args, task.kwargs) == (Status.DONE, 1, (1,), {"b": 2})
    assert (task.position, task.batch, task.external_id, task.metadata) == (None, None, "knows", {"k": "v"})
    assert task.waiting_for is None
    assert task.traceback is None
    assert "printed" in task.logs
    assert task.run_s is not None
    assert 0 <= task.run_s < 10
    assert isinstance(task.worker, int)


def test_a_task_is_found_by_its_id_from_anywhere(q: Queue, run_script: Any) -> None:
    task = q.submit(pow, 3, 3)
    again = q.task(task.id)
    assert (again, again.result(timeout=20), hash(again)) == (task, 27, hash(task))
    script = f"import goque; print(goque.Queue().task({task.id}).result(timeout=20))"
    assert run_script(script, q.dsn) == 27


def test_the_function_s_own_exception_is_raised_with_the_remote_traceback(q: Queue) -> None:
    def inner(value: int) -> None:
        raise Spoiled(value, detail="on arrival")  # the guilty line

    task = q.options(max_attempts=1).submit(inner, 7)
    with pytest.raises(Spoiled, match="spoiled with 7") as caught:
        task.result(timeout=20)
    assert (caught.value.code, caught.value.detail) == (7, "on arrival")
    shown = "".join(traceback.format_exception(caught.value))
    assert "the guilty line" in shown
    assert "in inner" in shown
    host = socket.gethostname()
    assert caught.value.__notes__ == [f"goque: task {task.id}, attempt 1, worker {task.worker} on {host}"]
    assert task.run_s is not None
    assert "the guilty line" in (task.traceback or "")
    assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 1)
    assert isinstance(task.exception(), Spoiled)


def test_source_lines_of_a_notebook_cell_are_in_the_traceback(q: Queue, run_script: Any) -> None:
    found = run_script(
        """
        import json, linecache
        from goque import Queue
        source = "def cell(x):\\n    y = x + 1\\n    return y / 0  # in the cell\\n"
        linecache.cache["<cell 7>"] = (len(source), None, source.splitlines(True), "<cell 7>")
        exec(compile(source, "<cell 7>", "exec"))
        with Queue() as q:
            task = q.options(max_attempts=1).submit(cell, 1)
            print(task.id)
        """,
        q.dsn,
    )
    q.resume()
    task = q.task(found)
    q._core.take_up([task._row().lane])
    with pytest.raises(ZeroDivisionError):
        task.result(timeout=20)
    assert "return y / 0  # in the cell" in (task.traceback or "")
    assert 'File "<cell 7>", line 3, in cell' in (task.traceback or "")


def test_an_exception_that_is_not_here_is_a_task_failed_with_its_name(q: Queue) -> None:
    def fail() -> None:
        import sys
        import types

        module = types.ModuleType("only_there")
        exec("class Strange(Exception): pass", module.__dict__)
        sys.modules["only_there"] = module
        raise module.Strange("who knows me?")

    task = q.options(max_attempts=1).submit(fail)
    with pytest.raises(TaskFailed, match=r"only_there\.Strange: who knows me\?") as caught:
        task.result(timeout=20)
    assert (caught.value.task_id, caught.value.error_type) == (task.id, "only_there.Strange")
    assert "who knows me" in caught.value.remote_traceback


def test_logs_hold_prints_errors_and_logging(q: Queue) -> None:
    def chatty() -> None:
        import logging
        import os
        import sys

        print("to stdout")
        print("to stderr", file=sys.stderr)
        logging.getLogger("app").warning("to logging")
        os.write(1, b"below python\n")
        raise ValueError("end")

    task = q.options(max_attempts=1).submit(chatty)
    assert isinstance(task.exception(timeout=20), ValueError)
    for words in ("to stdout", "to stderr", "to logging"):
        assert words in task.logs


def test_logs_and_progress_are_there_while_it_runs(q: Queue, tmp_path: Any) -> None:
    gate = str(tmp_path / "gate")

    def slow() -> str:
        import os
        import time

        import goque

        print("begun", flush=True)
        goque.context().progress(3, 10, "reading")
        give_up_at = time.monotonic() + 20
        while not os.path.exists(gate) and time.monotonic() < give_up_at:
            time.sleep(0.01)
        return "ok"

    task = q.submit(slow)
    until(lambda: task.running(), "it is seen to run")
    until(lambda: task.progress == {"done": 3.0, "total": 10.0, "note": "reading"}, "its progress is seen")
    assert q.tasks().set_index("id").loc[task.id, "progress"] == task.progress
    until(lambda: "begun" in task.logs, "its output is seen")
    assert task.waiting_for is None
    (tmp_path / "gate").touch()
    assert task.result(timeout=20) == "ok"
    assert "begun" in task.logs


def test_callbacks_are_called_once_each_with_the_task(q: Queue) -> None:
    came: list[Any] = []
    all_came = threading.Event()

    def note(task: Any) -> None:
        came.append(task.result())
        if len(came) == 3:
            all_came.set()

    def broken(task: Any) -> None:
        raise RuntimeError("a callback's own fault")

    task = q.options(delay=0.2).submit(pow, 2, 2)
    task.add_done_callback(broken)
    task.add_done_callback(note)
    task.add_done_callback(note)
    task.wait(20)
    task.add_done_callback(note)
    assert all_came.wait(20)
    assert came == [4, 4, 4]


def test_many_callbacks_cost_one_thread(q: Queue) -> None:
    before = threading.active_count()
    with q.executor() as executor:
        futures = [executor.submit(time.sleep, 0.01) for n in range(100)]
        most = threading.active_count()
        concurrent.futures.wait(futures, timeout=30)
    assert [future.result() for future in futures] == [None] * 100
    assert most - before <= 2


def test_a_canceled_task_says_why(alone: Queue) -> None:
    task = alone.submit(pow, 1, 1)
    assert task.cancel("not needed")
    assert not task.cancel("again")
    assert (task.cancelled(), task.done(), task.status) == (True, True, Status.CANCELED)
    with pytest.raises(TaskCanceled, match=f"task {task.id} was canceled: not needed"):
        task.result()
    with pytest.raises(TaskCanceled):
        task.exception()


def test_run_here_is_the_same_call_in_this_process(q: Queue) -> None:
    import os

    batch = q.map(lambda x, *, base: (os.getpid(), x + base), [1, 2], kwargs={"base": 10}).wait(20)
    assert batch[1].run_here() == (os.getpid(), 12)
    assert batch[1].result()[0] != os.getpid()
    task = q.options(max_attempts=1).submit(lambda: 1 / 0)
    task.wait(20)
    with pytest.raises(ZeroDivisionError):
        task.run_here()


def test_a_task_that_is_gone_says_so(alone: Queue) -> None:
    from goque.app.task import Task

    gone = Task(alone._core, 987_654)
    for ask in (lambda: gone.status, lambda: gone.result(timeout=1), gone.retry, lambda: gone.args):
        with pytest.raises(NotFound, match="987654"):
            ask()
    assert repr(gone) == "<Task 987654>"


def test_a_retried_task_gives_its_new_outcome(q: Queue, tmp_path: Any) -> None:
    mark = str(tmp_path / "mark")

    def fail_once() -> str:
        import pathlib

        if not pathlib.Path(mark).exists():
            raise ValueError("not yet")
        return "now"

    task = q.options(max_attempts=1).submit(fail_once)
    assert isinstance(task.exception(timeout=20), ValueError)
    (tmp_path / "mark").touch()
    assert task.retry().changed == 1
    assert task.result(timeout=20) == "now"
    assert task.retry().skipped == {"neither failed nor canceled": 1}
    assert task.retry(force=True).changed == 1
    assert task.result(timeout=20) == "now"

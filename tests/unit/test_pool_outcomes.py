"""What comes of jobs in process children: values, errors, verdicts, crashes, logs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pool_tasks as tasks
import pytest
from pool_driver import Driver, driven, job, program, written

from goque.model.identity import task_id
from goque.model.retries import RetryPolicy
from goque.payload import codec, policies
from goque.worker.channel import capture


@pytest.fixture(scope="module")
def pool() -> Iterator[Driver]:
    with driven(2) as driver:
        yield driver


def test_many_jobs_come_back_with_their_values(pool: Driver) -> None:
    doubling = program(tasks.double)
    for slot in range(2):
        pool.send(slot, doubling, [job(1000 * slot + i, i) for i in range(500)])
    assert [pool.value(i) for i in range(500)] == [2 * i for i in range(500)]
    assert [pool.value(1000 + i) for i in range(500)] == [2 * i for i in range(500)]


def test_shared_keyword_arguments_join_those_of_the_job(pool: Driver) -> None:
    shared = program(tasks.allocate, kwargs=codec.encode_arguments((), {"seconds": 0.0}))
    pool.send(0, shared, [job(1, 1)])
    assert pool.value(1) == 1 << 20


def test_an_error_tells_type_message_frame_and_arguments(pool: Driver) -> None:
    outcome = pool.call(tasks.fail, "no such\x00 thing \ud800")
    assert outcome.kind == "error"
    assert outcome.error_type == "ValueError"
    assert "\x00" not in outcome.message
    outcome.message.encode()
    assert "raise ValueError(message)" in outcome.traceback
    assert "pool_tasks.py" in outcome.user_frame
    assert "no such" in outcome.args_repr
    assert outcome.exception is not None
    assert isinstance(codec.loads(outcome.exception), ValueError)
    assert outcome.retry_in is not None
    assert 0 <= outcome.retry_in <= 1


@pytest.mark.parametrize(("how", "name"), [("exit", "SystemExit"), ("interrupt", "KeyboardInterrupt")])
def test_leaving_python_is_an_error_like_any_other(pool: Driver, how: str, name: str) -> None:
    before = pool.result(tasks.pid)
    outcome = pool.call(tasks.leave, how)
    assert (outcome.kind, outcome.error_type) == ("error", name)
    assert pool.result(tasks.pid) == before


@pytest.mark.parametrize(
    ("how", "kind", "retry_in"),
    [("cancel", "canceled", None), ("give up", "gave_up", None), ("retry", "error", 90.0), ("snooze", "snoozed", 45.0)],
)
def test_verdicts_of_the_task_are_obeyed(pool: Driver, how: str, kind: str, retry_in: float | None) -> None:
    outcome = pool.call(tasks.verdict, how)
    assert (outcome.kind, outcome.retry_in) == (kind, retry_in)
    assert outcome.message


@pytest.mark.parametrize(
    ("how", "signal_number", "code"),
    [
        ("segfault", signal.SIGSEGV, None),
        ("abort", signal.SIGABRT, None),
        ("kill", signal.SIGKILL, None),
        ("exit", None, 3),
    ],
)
def test_a_crash_ends_one_job_and_the_slot_goes_on(
    pool: Driver, how: str, signal_number: int | None, code: int | None
) -> None:
    pool.send(0, program(tasks.crash), [job(10, how), job(11, "not at all")])
    outcome = pool.outcome(10)
    assert outcome.kind == "crash"
    assert (outcome.exit_signal, outcome.exit_code) == (signal_number, code)
    assert outcome.retry_in is None, "no child is left to ask a policy"
    assert "before the end" in outcome.log
    if how in ("segfault", "abort"):
        assert "pool_tasks.py" in outcome.log, "faulthandler's traceback is part of the log"
    assert pool.value(11) is None


def test_a_child_killed_from_outside_charges_the_running_job_only(pool: Driver, tmp_path: Path) -> None:
    go = tmp_path / "go"
    pool.send(0, program(tasks.wait_for_file), [job(20 + i, str(go)) for i in range(4)])
    pool.until(lambda: pool.pool.running(0) is not None)
    child = pool.pool.pid(0)
    assert child is not None
    os.kill(child, signal.SIGKILL)
    assert pool.outcome(20).exit_signal == signal.SIGKILL
    go.touch()
    assert [pool.value(i) for i in (21, 22, 23)] == [str(go)] * 3
    assert pool.pool.pid(0) != child


def test_a_result_that_cannot_be_pickled_is_an_error_that_is_not_retried(pool: Driver) -> None:
    outcome = pool.call(tasks.return_lock)
    assert outcome.kind == "error"
    assert "lock" in outcome.message
    assert outcome.retry_in is None


def test_a_result_over_the_limit_says_so_and_is_not_retried(pool: Driver) -> None:
    pool.send(0, program(tasks.return_bytes, result_limit=1000), [job(30, 500), job(31, 5000)])
    assert len(pool.value(30)) == 500
    outcome = pool.outcome(31)
    assert "ResultTooLarge" in outcome.error_type
    assert "1,000" in outcome.message
    assert outcome.retry_in is None


def test_an_exception_that_cannot_be_pickled_is_told_in_words(pool: Driver) -> None:
    outcome = pool.call(tasks.raise_unpicklable)
    assert outcome.error_type.endswith("Unpicklable")
    assert outcome.message == "1 and 2"


def test_large_arguments_and_results_pass(pool: Driver) -> None:
    size = 20 << 20
    pool.send(1, program(tasks.return_bytes), [job(40, size), job(41, 5)])
    assert len(pool.value(40)) == size
    assert len(pool.value(41)) == 5
    assert pool.result(len, b"q" * size) == size


def test_a_function_whose_module_is_missing_is_unloadable(pool: Driver) -> None:
    import pickle

    class Missing:
        def __reduce__(self) -> tuple[object, ...]:
            return (__import__, ("no_such_module_anywhere",))

    from goque.worker.channel.jobs import Program

    pool.send(0, Program(key="missing", code=pickle.dumps(Missing())), [job(50, 1)])
    outcome = pool.outcome(50)
    assert (outcome.kind, outcome.module) == ("unloadable", "no_such_module_anywhere")


@pytest.mark.parametrize(
    ("policy", "retry_in"),
    [
        (([7, 8, 9], None, ()), 8.0),
        (([7], None, ()), None),
        ((tasks.stubborn_policy, None, ()), 12.5),
        (([7, 8], [KeyError], ()), None),
        (([7, 8], [ValueError], ()), 8.0),
        (([7, 8], None, [ValueError]), None),
    ],
)
def test_the_retry_policy_decides_in_the_child(
    pool: Driver, policy: tuple[Any, Any, Any], retry_in: float | None
) -> None:
    failing = program(tasks.fail, policy=policies.encode(RetryPolicy(*policy)))
    pool.send(0, failing, [job(60, "again", attempt=2)])
    assert pool.outcome(60).retry_in == retry_in


def test_a_policy_that_fails_leaves_it_to_the_default(pool: Driver) -> None:
    pool.send(0, program(tasks.fail, policy=policies.encode(RetryPolicy(tasks.broken_policy))), [job(61, "x")])
    outcome = pool.outcome(61)
    assert outcome.retry_in is not None
    assert "the policy itself" in pool.outcome(61).log or outcome.retry_in <= 1


def test_output_of_every_kind_is_in_the_log_in_order(pool: Driver) -> None:
    outcome = pool.call(tasks.say)
    lines = [line for line in outcome.log.splitlines() if line]
    words = ["one", "two", "three", "four", "five", "six"]
    assert len(lines) == 6, outcome.log
    assert all(word in line for word, line in zip(words, lines, strict=True))
    assert "INFO mine: three in the log" in lines[2]
    assert pool.call(tasks.nothing).log == ""


def test_a_task_that_closes_its_streams_does_not_silence_the_next(pool: Driver) -> None:
    assert pool.call(tasks.spoil_streams).kind == "done"
    assert "one on stdout" in pool.call(tasks.say).log


@pytest.mark.slow
@pytest.mark.parametrize("shout", [tasks.shout, tasks.shout_in_c])
def test_a_hundred_megabytes_of_output_are_cut_to_head_and_tail(pool: Driver, shout: Callable[[int], str]) -> None:
    outcome = pool.call(shout, 100)
    assert outcome.kind == "done"
    assert len(outcome.log) <= capture.LONGEST
    assert "cut" in outcome.log
    assert outcome.max_rss < 200 << 20
    if shout is tasks.shout:
        assert outcome.log.startswith("first line\n")
        assert outcome.log.endswith("last line\n")


def test_the_log_can_be_read_while_the_task_runs(pool: Driver, tmp_path: Path) -> None:
    def speak_and_wait(path: str) -> None:
        import time
        from pathlib import Path

        print("I am at it")
        while not Path(path).exists():
            time.sleep(0.002)

    pool.send(0, program(speak_and_wait), [job(70, str(tmp_path / "go"))])
    pool.until(lambda: "I am at it" in pool.pool.live_log(0))
    (tmp_path / "go").touch()
    assert "I am at it" in pool.outcome(70).log


def test_peak_memory_is_that_of_each_task(pool: Driver) -> None:
    assert pool.call(tasks.allocate, 150, 0.01, slot=1).max_rss > 150 << 20
    assert pool.call(tasks.allocate, 1, 0.01, slot=1).max_rss < 100 << 20


def test_processor_time_is_measured(pool: Driver) -> None:
    def work(seconds: float) -> None:
        import time

        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    assert pool.call(work, 0.1).cpu_s == pytest.approx(0.1, abs=0.05)
    assert pool.call(tasks.nap, 0.1).cpu_s < 0.05


def test_a_copy_forked_by_a_task_never_answers(pool: Driver) -> None:
    pool.send(0, program(tasks.fork_and_return), [job(80 + i) for i in range(20)])
    assert [pool.value(80 + i) for i in range(20)] == ["returned"] * 20


def test_a_copy_that_lives_on_does_not_keep_the_slot_waiting(pool: Driver, tmp_path: Path) -> None:
    assert pool.result(tasks.fork_a_long_life, str(tmp_path / "copy")) == "forked"
    copy = int(written(tmp_path / "copy"))
    try:
        assert pool.call(tasks.crash, "exit").exit_code == 3
        assert pool.result(tasks.double, 4) == 8
    finally:
        os.kill(copy, signal.SIGKILL)


def test_coroutines_run_on_one_loop_of_the_child(pool: Driver) -> None:
    assert pool.result(tasks.add_later, 1, 0.01) == 2
    first = pool.result(tasks.loop_identity, slot=1)
    assert pool.result(tasks.loop_identity, slot=1) == first


@pytest.mark.parametrize("what", ["garbage", "huge"])
def test_a_child_that_writes_nonsense_is_killed_and_nothing_else_suffers(pool: Driver, what: str) -> None:
    outcome = pool.call(tasks.write_nonsense, what)
    assert outcome.kind == "crash"
    assert "child sent" in outcome.message or "child answered" in outcome.message
    assert pool.result(tasks.double, 1) == 2


def test_context_knows_the_task_and_carries_progress_and_checkpoints(pool: Driver) -> None:
    start, task = codec.dumps({"at": 7}), task_id(batch=2000, position=5)
    pool.send(
        0,
        program(tasks.tell),
        [
            job(
                task,
                None,
                attempt=2,
                timeout=60.0,
                metadata={"a": [1]},
                checkpoint=start,
                scheduled="2026-11-24T03:00:00+01:00",
            )
        ],
    )
    seen = pool.value(task)
    assert seen["deadline"] > 0
    del seen["deadline"]
    assert seen == {
        "task": task,
        "attempt": 2,
        "metadata": {"a": [1]},
        "restored": {"at": 7},
        "stopping": False,
        "position": 5,
        "slot": "2026-11-24T03:00:00+01:00",
    }
    assert codec.loads(pool.checkpoints[task]) == {"at": 8}
    mine = [event for event in pool.progress if event.job.task_id == task]
    assert (mine[-1].done, mine[-1].total, mine[-1].note) == (2, 2, "all")


def test_context_is_known_in_threads_of_the_task(pool: Driver) -> None:
    pool.send(0, program(tasks.context_in_a_thread), [job(91)])
    assert pool.value(91) == 91

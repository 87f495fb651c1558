"""Stopping, recalling, replacing and ending: what main does to its children."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pool_tasks as tasks
import pytest
from pool_driver import alive, driven, job, program, wait_for, written

from goque.errors import InvalidInput
from goque.worker.channel.jobs import Finished, Returned
from goque.worker.pool.pool import Pool
from goque.worker.task.context import current


@pytest.mark.parametrize("spin", [tasks.spin_in_c, tasks.spin_in_python])
def test_a_timeout_stops_code_that_never_returns(spin: Callable[[str], None], tmp_path: Path) -> None:
    with driven() as driver:
        driver.send(
            0, program(spin), [job(1, str(tmp_path / "pid"), timeout=0.2), job(2, str(tmp_path / "x"), timeout=0.2)]
        )
        outcome = driver.outcome(1)
        assert outcome.kind == "timeout"
        assert 0.2 <= outcome.run_s < 2
        assert outcome.retry_in is None, "no child is left to ask a policy"
        assert not alive(int(written(tmp_path / "pid")))
        assert driver.outcome(2).kind == "timeout", "the job behind it ran in the next child"


def test_a_cancel_stops_a_loop_in_c_and_leaves_what_stands_behind_it(tmp_path: Path) -> None:
    with driven() as driver:
        driver.send(0, program(tasks.spin_in_c), [job(1, str(tmp_path / "pid"))])
        doubling = program(tasks.double)
        driver.send(0, doubling, [job(2, 21)])
        spinning = int(written(tmp_path / "pid"))
        assert driver.pool.stop(0, 1, "canceled")
        assert driver.outcome(1).kind == "canceled"
        assert not alive(spinning)
        assert driver.value(2) == 42


def test_stopping_a_job_that_has_not_begun_returns_it(tmp_path: Path) -> None:
    with driven() as driver:
        driver.resend = False
        go = tmp_path / "go"
        driver.send(0, program(tasks.wait_for_file), [job(1, str(go)), job(2, str(go))])
        driver.until(lambda: driver.pool.running(0) is not None)
        assert not driver.pool.stop(0, 2, "canceled")
        go.touch()
        assert driver.outcome(1).kind == "done"
        assert [each.task_id for event in driver.returned for each in event.jobs] == [2]


def test_stopping_a_job_that_has_ended_harms_nobody() -> None:
    with driven() as driver:
        child = driver.result(tasks.pid)
        assert not driver.pool.stop(0, 12345, "canceled")
        assert driver.result(tasks.pid) == child


def test_a_process_that_a_task_started_ends_with_its_child(tmp_path: Path) -> None:
    with driven() as driver:
        assert driver.result(tasks.leave_a_process, str(tmp_path / "pid")) == "left"
        started = int(written(tmp_path / "pid"))
        assert alive(started)
        driver.call(tasks.crash, "exit")
        wait_for(lambda: not alive(started))


def test_children_end_when_main_is_killed_in_the_middle_of_a_c_loop(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        "import pool_tasks as tasks\n"
        "from pool_driver import job, program\n"
        "from goque.worker.pool.pool import Pool\n"
        "pool = Pool(2)\n"
        "pool.start()\n"
        f"pool.send(0, program(tasks.spin_in_c), [job(1, {str(tmp_path / 'c')!r})])\n"
        f"pool.send(1, program(tasks.spin_in_python), [job(2, {str(tmp_path / 'p')!r})])\n"
        "while True: pool.events(1.0)\n"
    )
    main = subprocess.Popen([sys.executable, "-c", script])
    try:
        children = [int(written(tmp_path / "c")), int(written(tmp_path / "p"))]
        main.send_signal(signal.SIGKILL)
        main.wait()
        wait_for(lambda: not any(alive(pid) for pid in children), patience=2.0)
    finally:
        main.kill()
        main.wait()


def test_the_loss_of_the_nursery_is_survived(tmp_path: Path) -> None:
    with driven(2) as driver:
        driver.result(tasks.double, 1)
        driver.send(0, program(tasks.wait_for_file), [job(1, str(tmp_path / "go")), job(2, str(tmp_path / "go"))])
        driver.until(lambda: driver.pool.running(0) is not None)
        process = driver.pool._brood._hatchery._process
        assert process is not None
        process.kill()
        assert driver.outcome(1).kind == "crash"
        (tmp_path / "go").touch()
        assert driver.outcome(2).kind == "done"
        assert driver.result(tasks.double, 3, slot=1) == 6


def test_recall_takes_back_exactly_what_has_not_begun(tmp_path: Path) -> None:
    with driven() as driver:
        go = tmp_path / "go"
        waiting = program(tasks.wait_for_file)
        driver.send(0, waiting, [job(i, str(go)) for i in range(5)])
        driver.send(0, waiting, [job(i, str(go)) for i in range(5, 10)])
        driver.until(lambda: driver.pool.running(0) is not None)
        assert [each.task_id for each in driver.pool.recall(0)] == list(range(1, 10))
        assert driver.pool.load(0) == 1
        driver.send(0, waiting, [job(10, str(go))])
        go.touch()
        assert driver.value(10) == str(go)
        assert set(driver.outcomes) == {0, 10}


def test_many_recalled_messages_do_not_confuse_a_child_that_is_behind(tmp_path: Path) -> None:
    with driven() as driver:
        go = tmp_path / "go"
        driver.send(0, program(tasks.wait_for_file), [job(0, str(go))])
        driver.until(lambda: driver.pool.running(0) is not None)
        doubling = program(tasks.double)
        for number in range(1, 700):
            driver.send(0, doubling, [job(number, number), job(-number, number)])
            assert len(driver.pool.recall(0)) == 2
        driver.send(0, doubling, [job(5000, 5), job(5001, 6)])
        go.touch()
        assert (driver.value(5000), driver.value(5001)) == (10, 12)
        assert set(driver.outcomes) == {0, 5000, 5001}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["process", "thread"])
def test_thousands_of_random_recalls_lose_nothing_and_run_nothing_twice(kind: str) -> None:
    dice = random.Random(20261124)
    slots = 2
    with driven(slots, kind) as driver:
        driver.resend = False
        doing = program(tasks.nothing)
        sent: set[int] = set()
        back: set[int] = set()
        recalls = number = 0
        while recalls < 3000:
            slot = dice.randrange(slots)
            if driver.pool.load(slot) < 64:
                count = dice.randrange(1, 20)
                driver.send(slot, doing, [job(number + i) for i in range(count)])
                sent.update(range(number, number + count))
                number += count
            if dice.random() < 0.6:
                recalled = {each.task_id for each in driver.pool.recall(slot)}
                assert not recalled & back
                back |= recalled
                recalls += 1
            if dice.random() < 0.5:
                driver.take(driver.pool.events(dice.choice([0.0, 0.0, 0.001])))
        driver.until(lambda: not any(driver.pool.load(slot) for slot in range(slots)))
        assert not driver.returned
        assert not back & set(driver.outcomes), "recalled and run"
        assert back | set(driver.outcomes) == sent, "lost"
        assert back
        assert driver.outcomes


@pytest.mark.slow
def test_random_kills_charge_one_job_each_and_lose_none() -> None:
    dice = random.Random(4)
    with driven(2) as driver:
        napping = program(tasks.nap)
        number, kills = 0, 0
        while kills < 40:
            for slot in range(2):
                if driver.pool.load(slot) < 10:
                    driver.send(slot, napping, [job(number + i, 0.0005) for i in range(10)])
                    number += 10
            driver.take(driver.pool.events(dice.choice([0.0, 0.002])))
            child = driver.pool.pid(dice.randrange(2))
            if child is not None and dice.random() < 0.2:
                with suppress(ProcessLookupError):  # dead of the last kill, and the pool has not looked since
                    os.kill(child, signal.SIGKILL)
                    kills += 1
                driver.take(driver.pool.events(0.01))
        driver.until(lambda: len(driver.outcomes) == number)
        crashes = [outcome for outcome in driver.outcomes.values() if outcome.kind == "crash"]
        assert len(crashes) <= kills
        assert all(outcome.kind in ("crash", "done") for outcome in driver.outcomes.values())


def test_a_child_is_replaced_after_its_number_of_tasks() -> None:
    with driven(max_tasks_per_child=3) as driver:
        driver.send(0, program(tasks.pid), [job(i) for i in range(10)])
        pids = [driver.value(i) for i in range(10)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3, 1]


def test_a_child_over_its_memory_is_killed_while_it_runs_and_says_why() -> None:
    with driven(max_memory=150 << 20) as driver:
        outcome = driver.call(tasks.allocate, 300, 30.0)
        assert outcome.kind == "crash"
        assert "memory" in outcome.message
        assert driver.result(tasks.double, 2) == 4


def test_a_child_over_its_memory_retires_between_tasks() -> None:
    def hoard(_: int) -> int:
        import os
        import sys

        sys.hoard = b"h" * (200 << 20)  # type: ignore[attr-defined]
        return os.getpid()

    with driven(max_memory=150 << 20) as driver:
        driver.send(0, program(hoard), [job(1, 1)])
        driver.send(0, program(tasks.pid), [job(2)])
        assert driver.outcome(1).kind in ("done", "crash")
        assert driver.outcome(2).kind == "done"
        assert driver.outcomes[1].kind == "crash" or driver.value(1) != driver.value(2)


def test_once_makes_one_object_per_child_and_closes_it_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "connections"
    with driven(max_tasks_per_child=4) as driver:
        driver.send(0, program(tasks.use_connection), [job(i, str(path)) for i in range(8)])
        assert len({driver.value(i) for i in range(4)}) == 1
        driver.until(lambda: len(driver.outcomes) == 8)
        wait_for(lambda: path.read_text().count("closed") == 2)
    words = [line.split() for line in path.read_text().splitlines()]
    assert [word for word, _ in words if word == "opened"] == ["opened"] * 2
    assert {pid for word, pid in words if word == "opened"} == {pid for word, pid in words if word == "closed"}


def test_threads_that_a_task_left_behind_do_not_keep_its_child() -> None:
    with driven(max_tasks_per_child=1) as driver:
        assert driver.result(tasks.leave_a_thread) == "left"
        assert driver.result(tasks.double, 1) == 2
        start = time.monotonic()
    assert time.monotonic() - start < 3


@pytest.mark.slow
def test_two_hundred_restarts_leave_no_descriptors_and_no_threads() -> None:
    with driven() as driver:
        crashing = program(tasks.crash)
        driver.send(0, crashing, [job(i, "exit") for i in range(5)])
        driver.until(lambda: len(driver.outcomes) == 5)
        before = (len(os.listdir("/proc/self/fd")), threading.active_count())
        driver.send(0, crashing, [job(i, "exit") for i in range(5, 205)])
        driver.until(lambda: len(driver.outcomes) == 205, patience=60)
        driver.until(lambda: driver.pool.pid(0) is not None)
        assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_closing_waits_for_its_grace_and_hands_back_the_rest(tmp_path: Path) -> None:
    pool = Pool(2)
    pool.start()
    pool.send(0, program(tasks.wait_until_stopping), [job(1, str(tmp_path / "a"))])
    pool.send(1, program(tasks.spin_in_python), [job(2, str(tmp_path / "b")), job(3, "")])
    written(tmp_path / "a")
    spinning = int(written(tmp_path / "b"))
    events = pool.close(grace=0.3)
    kinds = {event.job.task_id: event.outcome.kind for event in events if isinstance(event, Finished)}
    assert kinds == {1: "done", 2: "handed_back"}
    assert [each.task_id for event in events if isinstance(event, Returned) for each in event.jobs] == [3]
    assert not alive(spinning)


def test_wake_ends_the_waiting_of_another_thread() -> None:
    with driven() as driver:
        driver.pool.events(0.0)
        threading.Timer(0.1, driver.pool.wake).start()
        start = time.monotonic()
        assert driver.pool.events(20.0) == []
        assert time.monotonic() - start < 5


def test_children_get_neither_secrets_nor_descriptors_of_main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOQUE_DSN", "postgresql://secret")
    monkeypatch.setenv("PGPASSWORD", "secret")
    secret = tmp_path / "secret"
    with secret.open("w") as file, driven(slot_environment=[{"CARD": "1"}]) as driver:
        os.set_inheritable(file.fileno(), True)
        assert driver.result(tasks.see_environment, "CARD")[0] == "1"
        assert driver.result(tasks.see_environment, "OMP_NUM_THREADS")[0] == "1"
        assert driver.result(tasks.see_environment, "x")[2] == {}
        assert not any("secret" in name or "socket" in name for name in driver.result(tasks.open_descriptors))
        assert driver.result(tasks.signal_setup) == (True, True)


def test_directory_and_variables_are_those_of_the_program(tmp_path: Path) -> None:
    with driven() as driver:
        driver.send(0, program(tasks.see_environment, cwd=str(tmp_path), environment={"MINE": "yes"}), [job(1, "MINE")])
        assert driver.value(1)[:2] == ("yes", str(tmp_path))
        assert driver.result(tasks.see_environment, "MINE")[0] is None
        driver.send(0, program(tasks.see_environment, cwd="/no/such/place"), [job(2, "x")])
        assert driver.outcome(2).kind == "done"


def test_context_outside_of_a_task_says_what_it_is_for() -> None:
    with pytest.raises(InvalidInput, match="runs in a task"):
        current()


def test_a_job_that_must_be_alone_waits_for_its_child_and_lets_nobody_in(tmp_path: Path) -> None:
    with driven() as driver:
        go = tmp_path / "go"
        waiting = program(tasks.wait_for_file)
        driver.send(0, waiting, [job(1, str(go)), job(2, str(go), alone=True), job(3, str(go))])
        driver.until(lambda: driver.pool.running(0) is not None)
        line = driver.pool._slots[0].line
        assert line is not None
        assert len(line.live) == 1
        go.touch()
        assert [driver.value(i) for i in (1, 2, 3)] == [str(go)] * 3

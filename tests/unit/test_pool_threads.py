"""Thread pools: one child with many slots."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pool_tasks as tasks
from pool_driver import alive, driven, job, program, written


def test_all_slots_share_one_child_and_run_at_once(tmp_path: Path) -> None:
    with driven(4, "thread") as driver:
        go = tmp_path / "go"
        for slot in range(4):
            driver.send(slot, program(tasks.wait_for_file), [job(slot, str(go))])
        driver.until(lambda: all(driver.pool.running(slot) for slot in range(4)))
        assert len({driver.pool.pid(slot) for slot in range(4)}) == 1
        go.touch()
        assert [driver.value(slot) for slot in range(4)] == [str(go)] * 4


def test_coroutines_of_all_slots_share_one_loop() -> None:
    with driven(8, "thread") as driver:
        waiting = program(tasks.add_later)
        start = time.monotonic()
        for slot in range(8):
            driver.send(slot, waiting, [job(slot, slot, 0.3)])
        assert [driver.value(slot) for slot in range(8)] == list(range(1, 9))
        assert time.monotonic() - start < 2
        assert driver.result(tasks.loop_identity, slot=0) == driver.result(tasks.loop_identity, slot=5)


def test_each_slot_has_its_own_log(tmp_path: Path) -> None:
    def speak(word: str, path: str) -> None:
        import time
        from pathlib import Path

        print(word, "begins")
        while not Path(path).exists():
            time.sleep(0.002)
        print(word, "ends")

    with driven(2, "thread") as driver:
        speaking = program(speak)
        for slot, word in enumerate(("left", "right")):
            driver.send(slot, speaking, [job(slot, word, str(tmp_path / "go"))])
        driver.until(lambda: all("begins" in driver.pool.live_log(slot) for slot in range(2)))
        (tmp_path / "go").touch()
        assert driver.outcome(0).log == "left begins\nleft ends\n"
        assert driver.outcome(1).log == "right begins\nright ends\n"


def test_a_canceled_coroutine_cleans_up_and_its_child_goes_on(tmp_path: Path) -> None:
    with driven(2, "thread") as driver:
        path = tmp_path / "state"
        driver.send(0, program(tasks.clean_up_slowly), [job(1, str(path))])
        assert written(path) == "started"
        child = driver.pool.pid(0)
        assert driver.pool.stop(0, 1, "canceled")
        assert driver.outcome(1).kind == "canceled"
        assert path.read_text() == "cleaned"
        assert driver.result(tasks.pid, slot=0) == child


def test_a_canceled_thread_stops_and_its_child_retires_when_its_neighbour_is_done(tmp_path: Path) -> None:
    with driven(2, "thread") as driver:
        go = tmp_path / "go"
        driver.send(1, program(tasks.wait_for_file), [job(2, str(go))])
        driver.send(0, program(tasks.spin_in_python), [job(1, str(tmp_path / "pid"))])
        child = int(written(tmp_path / "pid"))
        driver.until(lambda: driver.pool.running(1) is not None)
        assert driver.pool.stop(0, 1, "canceled")
        assert driver.outcome(1).kind == "canceled"
        assert driver.result(tasks.pid, slot=0) != child, "the slot went on in another child"
        assert alive(child)
        go.touch()
        assert driver.outcome(2).kind == "done", "the neighbour was left in peace"
        driver.until(lambda: not alive(child))
        assert driver.result(tasks.pid, slot=1) != child


def test_a_timeout_stops_a_thread() -> None:
    with driven(2, "thread") as driver:
        outcome = driver.call(tasks.spin_in_python, "/dev/null", timeout=0.2)
        assert outcome.kind == "timeout"
        assert outcome.run_s < 2


def test_a_thread_that_does_not_stop_is_killed_once_it_is_alone(tmp_path: Path) -> None:
    with driven(2, "thread", answer_time=0.3) as driver:
        driver.send(0, program(tasks.swallow_interrupts), [job(1, str(tmp_path / "pid"))])
        child = int(written(tmp_path / "pid"))
        assert driver.pool.stop(0, 1, "canceled")
        assert driver.outcome(1).kind == "canceled"
        assert not alive(child)
        assert driver.result(tasks.double, 2) == 4


def test_nobody_is_charged_when_a_child_with_several_running_dies(tmp_path: Path) -> None:
    with driven(3, "thread") as driver:
        go = tmp_path / "go"
        waiting = program(tasks.wait_for_file)
        for slot in range(2):
            driver.send(slot, waiting, [job(slot, str(go)), job(10 + slot, str(go))])
        driver.until(lambda: all(driver.pool.running(slot) for slot in range(2)))
        driver.send(2, program(tasks.crash), [job(2, "segfault")])
        driver.until(lambda: len([event for event in driver.returned if event.died]) == 3)
        assert {each.task_id for event in driver.returned if event.died for each in event.jobs} == {0, 1, 2}
        assert {each.task_id for event in driver.returned if not event.died for each in event.jobs} == {10, 11}
        go.touch()
        outcome = driver.outcome(2)
        assert (outcome.kind, outcome.exit_signal) == ("crash", signal.SIGSEGV), "alone, it is charged"
        assert all(driver.outcome(i).kind == "done" for i in (0, 1, 10, 11))


def test_a_child_that_dies_with_one_running_charges_it() -> None:
    with driven(3, "thread") as driver:
        assert driver.call(tasks.crash, "exit", slot=1).exit_code == 3
        assert driver.result(tasks.double, 5, slot=2) == 10


def test_a_job_that_must_be_alone_gets_a_child_of_its_own() -> None:
    with driven(2, "thread") as driver:
        home = driver.result(tasks.pid, slot=0)
        own = driver.result(tasks.pid, slot=0, alone=True)
        assert own != home
        assert driver.result(tasks.pid, slot=0) == home
        driver.until(lambda: not alive(own))


def test_a_child_of_many_lines_retires_after_its_number_of_tasks() -> None:
    with driven(2, "thread", max_tasks_per_child=5) as driver:
        pids = [driver.result(tasks.pid, slot=i % 2) for i in range(20)]
        assert len(set(pids)) >= 3


def test_loss_of_a_thread_child_from_outside_is_survived(tmp_path: Path) -> None:
    with driven(2, "thread") as driver:
        driver.send(0, program(tasks.wait_for_file), [job(1, str(tmp_path / "go")), job(2, str(tmp_path / "go"))])
        driver.until(lambda: driver.pool.running(0) is not None)
        child = driver.pool.pid(0)
        assert child is not None
        os.kill(child, signal.SIGKILL)
        assert driver.outcome(1).kind == "crash"
        (tmp_path / "go").touch()
        assert driver.outcome(2).kind == "done"

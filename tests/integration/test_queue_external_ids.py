"""External ids: unique per task type among tasks that are live or done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from random import Random
from typing import Any

import psycopg
import pytest

from goque import DuplicateTask, InvalidInput, Queue, Status, Task
from goque.maintenance.sweeper import Sweeper
from goque.queries import cancel, duplicates, upkeep

Stored = Callable[[], tuple[int, int]]


def work(x: Any) -> Any:
    return x


def other(x: Any) -> Any:
    return -x


def test_a_duplicate_returns_the_task_that_is_there(alone: Queue, stored: Stored) -> None:
    first = alone.options(external_id="a").submit(work, 1)
    second = alone.options(external_id="a", priority=3, queue="else").submit(work, 2)
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert (second.id, second.args, stored()) == (first.id, (1,), (0, 1))


def test_ids_are_unique_per_type_only(alone: Queue) -> None:
    assert alone.options(external_id="a").submit(work, 1).id != alone.options(external_id="a").submit(other, 1).id


def test_a_duplicate_is_an_error_where_asked_for(alone: Queue, stored: Stored) -> None:
    first = alone.options(external_id="a").submit(work, 1)
    with pytest.raises(DuplicateTask, match="on_duplicate='return'") as caught:
        alone.options(external_id="a", on_duplicate="error").submit(work, 2)
    assert (caught.value.external_id, caught.value.task_id, stored()) == ("a", first.id, (0, 1))


def test_a_done_task_keeps_its_id_and_gives_its_result(q: Queue) -> None:
    first = q.options(external_id="done").submit(work, 1)
    assert first.result(timeout=20) == 1
    second = q.options(external_id="done").submit(work, 2)
    assert (second.is_duplicate, second.result(timeout=20)) == (True, 1)


def test_a_task_that_failed_or_was_canceled_gives_its_id_up(q: Queue) -> None:
    def fail(x: int) -> None:
        raise ValueError(x)

    failed = q.options(external_id="up", max_attempts=1).submit(fail, 1)
    failed.wait(20)
    again = q.options(external_id="up", delay="1h").submit(fail, 2)
    assert not again.is_duplicate
    again.cancel()
    assert not q.options(external_id="up", delay="1h").submit(fail, 3).is_duplicate


def test_retry_skips_a_task_whose_id_another_has_taken(alone: Queue) -> None:
    first = alone.options(external_id="a").submit(work, 1)
    first.cancel()
    second = alone.options(external_id="a").submit(work, 2)
    changed = first.retry()
    assert (changed.changed, changed.skipped) == (0, {"its external id is taken": 1})
    second.cancel()
    assert first.retry().changed == 1
    assert alone.options(external_id="a").submit(work, 3).id == first.id


def test_concurrent_submits_of_one_id_make_one_task(alone: Queue, stored: Stored) -> None:
    barrier = threading.Barrier(8)
    found: list[Any] = []

    def submit() -> None:
        barrier.wait()
        try:
            found.append(alone.options(external_id="a").submit(work, 1))
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({task.id for task in found}) == 1
    assert sorted(task.is_duplicate for task in found) == [False] + [True] * 7
    assert stored() == (0, 1)


def test_an_id_that_is_given_up_between_two_looks_is_taken(alone: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    take, follow = duplicates.take_external_ids, duplicates.follow
    others: list[Task] = []

    def late(*arguments: Any) -> Any:
        if not others:
            others.append(alone.options(external_id="1").submit(work, 1))
        return take(*arguments)

    def later(*arguments: Any) -> Any:
        others[0].cancel()
        return follow(*arguments)

    monkeypatch.setattr(duplicates, "take_external_ids", late)
    monkeypatch.setattr(duplicates, "follow", later)
    batch = alone.map(work, [1, 1, 2], external_id=str)
    assert [task._row().same_as for task in batch.tasks()] == [None, batch[0].id, None]
    assert alone.options(external_id="1").submit(work, 1).id == batch[0].id


def test_whoever_submits_cancels_and_retries_at_once_an_id_has_one_task(alone: Queue) -> None:
    seeds = [alone.options(external_id=str(number % 3)).submit(work, number % 3) for number in range(3)]
    found, barrier = list(seeds), threading.Barrier(4)

    def act(seed: int) -> None:
        random, own = Random(seed), Queue(alone.dsn, owner="tester")
        with own:
            barrier.wait()
            for turn in range(25):
                number = random.randrange(3)
                if turn % 5 == 4:
                    found.extend(own.map(work, [number, 1, number], external_id=str).tasks())
                else:
                    found.append(own.options(external_id=str(number)).submit(work, number))
                own.cancel(*random.sample([task.id for task in found], 2))
                own.retry(*random.sample([task.id for task in found], 2))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    with psycopg.connect(alone.dsn) as connection:
        holding = connection.execute(
            "select external_id, id from goque.task where same_as is null "
            "and status not in ('canceled', 'attempts_left') order by external_id"
        ).fetchall()
        taken = connection.execute("select external_id, task_id from goque.external_id order by external_id").fetchall()
    assert holding == taken
    assert len(found) > 100


def test_an_outcome_is_shared_in_steps_and_whoever_dies_between_them_is_stood_in_for(alone: Queue) -> None:
    first = alone.options(external_id="1").submit(work, 1)
    batch, database = alone.map(work, [1] * 5, external_id=str), alone._core.database
    assert database.all(cancel.cancel_tasks([first.id], "no")) == [first.id]
    assert len(database.all(duplicates.share([first.id], limit=2))) == 2
    assert [len(step) for step in islice(database.steps(duplicates.share([first.id], limit=1), 1), 2)] == [1, 1]
    assert batch.counts()[Status.CANCELED] == 4
    Sweeper(database).run_once()
    assert (batch.counts()[Status.CANCELED], database.all(upkeep.inputs(0))) == (5, [])


def test_in_a_map_duplicates_keep_their_place_and_share_the_outcome(q: Queue) -> None:
    def tenfold(x: int) -> int:
        return 10 * x

    def name(x: int) -> str:
        return f"item {x % 2}"

    first = q.map(tenfold, [0, 1, 2, 3], external_id=name)
    assert first.results(timeout=20) == [0, 10, 0, 10]
    assert [first[place].attempts for place in range(2)] == [1, 1]
    second = q.map(tenfold, [5, 8], external_id=name)
    assert second.results(timeout=20) == [10, 0]
    assert second.counts()[Status.DONE] == 2
    assert [task.result() for task in second.as_completed(timeout=20)] == [10, 0]


def test_followers_share_a_failure_and_a_cancel(q: Queue) -> None:
    def fail(x: int) -> None:
        raise ValueError(f"first {x}")

    def name(_: int) -> str:
        return "one"

    failing = q.options(external_id=name, max_attempts=1).map(fail, [1, 2])
    assert [str(error) for error in failing.results(errors="return", timeout=20)] == ["first 1", "first 1"]
    assert failing.counts()[Status.ATTEMPTS_LEFT] == 2
    waiting = q.options(external_id=name, delay="1h").map(fail, [3, 4])
    waiting[0].cancel("no more")
    assert waiting.wait(20).counts()[Status.CANCELED] == 2


def test_a_map_with_a_taken_id_is_refused_as_a_whole_where_asked_for(alone: Queue, stored: Stored) -> None:
    alone.map(work, [1], external_id=str)
    with pytest.raises(DuplicateTask, match="position 2") as caught:
        alone.map(work, [7, 8, 1], external_id=str, on_duplicate="error")
    assert caught.value.external_id == "1"
    assert stored() == (1, 1)


def test_ids_come_from_all_arguments_of_the_item(alone: Queue) -> None:
    batch = alone.map(lambda a, b: a, [1, 2], [3, 4], external_id=lambda a, b: f"{a}-{b}")
    assert [task.external_id for task in batch.tasks()] == ["1-3", "2-4"]


@pytest.mark.parametrize("bad", ["", "nul\0", "x" * 501, 5])
def test_what_cannot_be_an_id_is_refused(alone: Queue, stored: Stored, bad: Any) -> None:
    with pytest.raises(InvalidInput, match="external_id"):
        alone.options(external_id=bad).submit(work, 1)
    with pytest.raises(InvalidInput, match="external_id"):
        alone.map(work, [1], external_id=lambda x: bad)
    assert stored() == (0, 0)


def test_an_id_for_one_task_is_text_and_for_a_map_a_callable(alone: Queue, stored: Stored) -> None:
    with pytest.raises(InvalidInput, match="callable is for maps"):
        alone.options(external_id=str).submit(work, 1)
    with pytest.raises(InvalidInput, match="callable of the item"):
        alone.map(work, [1], external_id="a")
    assert stored() == (0, 0)

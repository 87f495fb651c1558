"""Giving work: what a call of map, starmap, submit and their options makes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor
from pathlib import Path
from typing import Any

import numpy
import pandas
import psycopg
import pytest

import goque
from goque import InvalidInput, Queue, Status
from tests.integration.conftest import until

Stored = Callable[[], tuple[int, int]]


def double(x: int) -> int:
    return 2 * x


def test_a_map_gives_the_results_of_its_items_in_order(q: Queue) -> None:
    batch = q.map(lambda x: x * x, range(100))
    assert len(batch) == 100
    assert batch.results(timeout=20) == [x * x for x in range(100)]
    assert batch.counts()[Status.DONE] == 100


@pytest.mark.parametrize(
    "items",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        {1, 2, 3},
        numpy.array([1, 2, 3]),
        pandas.Series([1, 2, 3]),
        pandas.DataFrame({"x": [1, 2, 3]})["x"],
        {"a": 1, "b": 2, "c": 3}.values(),
        iter([1, 2, 3]),
        (x for x in (1, 2, 3)),
    ],
    ids=lambda items: type(items).__name__,
)
def test_a_map_takes_any_iterable(q: Queue, items: object) -> None:
    assert q.map(lambda x: int(x) + 1, items).results(timeout=20) == [2, 3, 4]


def test_several_iterables_give_an_argument_each_and_kwargs_are_shared(q: Queue) -> None:
    batch = q.map(lambda a, b, *, c: a + b + c, [1, 2], (10, 20), kwargs={"c": 100})
    assert batch.results(timeout=20) == [111, 122]
    assert batch[1].kwargs == {"c": 100}
    assert batch[1].args == (2, 20)


def test_without_strict_the_shortest_iterable_decides(q: Queue) -> None:
    assert q.map(lambda a, b: (a, b), [1, 2, 3], [4, 5], strict=False).results(timeout=20) == [(1, 4), (2, 5)]


def test_an_empty_map_is_a_batch_without_tasks(q: Queue) -> None:
    batch = q.map(double, [])
    assert (len(batch), batch.results(), batch.wait().done()) == (0, [], True)
    assert list(batch.as_completed()) == []
    assert not batch.cancel()


def test_starmap_takes_tuples_mappings_and_frames(q: Queue) -> None:
    def power(base: Any, exponent: Any) -> Any:
        return int(base) ** int(exponent)

    frame = pandas.DataFrame({"base": [2, 3], "exponent": [3, 2]})
    assert q.starmap(power, [(2, 3), (3, 2)]).results(timeout=20) == [8, 9]
    assert q.starmap(power, [{"base": 2, "exponent": 3}, {"exponent": 2, "base": 3}]).results(timeout=20) == [8, 9]
    assert q.starmap(power, frame).results(timeout=20) == [8, 9]


def test_grid_gives_every_combination_for_starmap(q: Queue) -> None:
    rows = goque.grid(lr=[0.1, 0.2], depth=[3, 5])
    assert q.starmap(lambda lr, depth: (lr, depth), rows).results(timeout=20) == [
        (0.1, 3), (0.1, 5), (0.2, 3), (0.2, 5),
    ]  # fmt: skip


def test_submit_passes_every_keyword_to_the_function(q: Queue) -> None:
    def echo(*args: object, **kwargs: object) -> tuple[object, ...]:
        return args, kwargs

    task = q.options(priority=7, queue="giving").submit(echo, 1, priority=5, name="n", fn=2, func=3, self=4)
    assert task.result(timeout=20) == ((1,), {"priority": 5, "name": "n", "fn": 2, "func": 3, "self": 4})


def test_an_option_given_to_submit_by_mistake_is_explained(alone: Queue) -> None:
    with pytest.raises(InvalidInput, match=r"use q\.options\(priority="):
        alone.submit(double, 1, priority=5)


def test_options_are_laid_over_each_other_and_change_no_other_queue(alone: Queue) -> None:
    first = alone.options(queue="a", priority=1)
    second = first.options(priority=2)
    tasks = (second.submit(double, 1), first.submit(double, 1), alone.submit(double, 1))
    with psycopg.connect(alone.dsn) as connection:
        lanes = connection.execute(
            "SELECT queue, priority FROM goque.task t JOIN goque.lane l ON l.id = lane_id ORDER BY t.id"
        ).fetchall()
    assert [task._row().queue for task in tasks] == ["a", "a", "default"]
    assert lanes == [("a", 2), ("a", 1), ("default", 0)]


def test_a_higher_priority_runs_first(dsn: str) -> None:
    with Queue(dsn) as queue:
        order = [queue.options(priority=priority, queue="p").map(lambda x: x, [priority]) for priority in (1, 3, 2)]
        queue.start_workers(1)
        for batch in order:
            batch.wait(20)
        started = sorted((batch[0]._row().started_at, batch[0].result()) for batch in order)
    assert [value for _, value in started] == [3, 2, 1]


def test_metadata_and_tags_travel_with_the_task(alone: Queue) -> None:
    task = alone.options(metadata={"run": 7}, tags=["gpu"]).submit(double, 1)
    assert task.metadata == {"run": 7}
    assert task._row().tags == ["gpu"]


def test_a_dry_run_calls_the_function_here_and_stores_nothing(alone: Queue, stored: Stored) -> None:
    seen: list[int] = []

    def note(x: int) -> int:
        seen.append(x)
        return x

    results = alone.map(note, iter(range(1000)), dry_run=3)
    assert (results, seen, stored()) == ([0, 1, 2], [0, 1, 2], (0, 0))
    assert alone.starmap(note, [(7,), (8,)], dry_run=1) == [7]


def test_a_dry_run_is_no_option_to_be_kept_since_it_changes_what_a_map_returns(alone: Queue) -> None:
    with pytest.raises(goque.InvalidInput, match=r"q\.map\(func, items, dry_run=3\)"):
        alone.options(dry_run=3)


def test_a_pipeline_stores_all_tasks_when_it_ends(q: Queue) -> None:
    with q.pipeline():
        tasks = [q.submit(double, x) for x in range(50)]
        with pytest.raises(goque.NotCommitted):
            tasks[0].result(timeout=1)
    assert [task.result(timeout=20) for task in tasks] == [2 * x for x in range(50)]


def test_a_pipeline_that_fails_stores_nothing(alone: Queue, stored: Stored) -> None:
    with pytest.raises(RuntimeError), alone.pipeline():
        alone.submit(double, 1)
        raise RuntimeError
    assert stored() == (0, 0)
    assert alone.submit(double, 1).status is Status.NEW


def test_a_map_is_refused_in_a_pipeline_since_it_would_outlive_a_block_that_fails(alone: Queue, stored: Stored) -> None:
    with alone.pipeline():
        with pytest.raises(goque.InvalidInput, match="call map before the block or after"):
            alone.options(priority=5).map(double, [1])
        with pytest.raises(goque.InvalidInput, match="call map before the block or after"):
            alone.starmap(double, [(1,)])
    assert stored() == (0, 0)
    assert len(alone.map(double, [1])) == 1


def test_a_pipeline_belongs_to_its_thread(alone: Queue, stored: Stored) -> None:
    with alone.pipeline():
        other = threading.Thread(target=lambda: alone.submit(double, 1))
        other.start()
        other.join()
        assert stored() == (0, 1)
        alone.submit(double, 2)
    assert stored() == (0, 2)


def test_the_last_batch_is_my_newest(alone: Queue) -> None:
    with pytest.raises(goque.NotFound, match="no batch yet"):
        _ = alone.last
    alone.map(double, [1], name="old")
    newest = alone.map(double, [1, 2])
    assert alone.last == newest or alone.last.id == newest.id
    assert alone.batch("old").name == "old"
    assert alone.batch(newest.id).total == 2


def test_a_batch_or_task_that_is_not_there_is_named(alone: Queue) -> None:
    for look in (lambda: alone.batch("nothing"), lambda: alone.batch(123_456), lambda: alone.task(123_456)):
        with pytest.raises(goque.NotFound, match="nothing|123456"):
            look()


def test_the_executor_is_one_of_concurrent_futures(q: Queue) -> None:
    with q.executor() as executor:
        assert isinstance(executor, Executor)
        assert executor.submit(double, 21).result(timeout=20) == 42
        assert list(executor.map(double, range(5), timeout=20)) == [0, 2, 4, 6, 8]
        failing = executor.submit(lambda: 1 / 0)
        assert isinstance(failing.exception(timeout=20), ZeroDivisionError)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(double, 1)


def test_an_executor_that_is_shut_down_cancels_what_waits(alone: Queue) -> None:
    executor = alone.executor()
    future: Any = executor.submit(double, 1)
    executor.shutdown(cancel_futures=True)
    assert future.goque_task.status is Status.CANCELED
    with pytest.raises(goque.TaskCanceled, match="shut down"):
        future.goque_task.result()
    with pytest.raises(CancelledError):
        future.result(timeout=5)
    assert future.cancelled()


def test_when_an_executor_has_shut_down_its_futures_have_ended(q: Queue) -> None:
    for _ in range(20):
        with q.executor() as executor:
            futures = [executor.submit(double, x) for x in range(5)]
        assert all(future.done() for future in futures)


def test_a_future_of_an_executor_says_while_it_runs(q: Queue) -> None:
    executor = q.executor()
    future = executor.submit(time.sleep, 60)
    until(future.running, "the task runs")
    assert future.cancel()
    assert not future.running()


def test_queue_wide_verbs_take_tasks_ids_and_batches(alone: Queue) -> None:
    batch, task, other = alone.map(double, range(3)), alone.submit(double, 1), alone.submit(double, 2)
    changed = alone.cancel(batch, task, other.id, task, reason="enough")
    assert (changed.changed, changed.skipped) == (5, {})  # who is named twice is counted once
    assert alone.cancel(task).skipped == {"already final": 1}
    assert alone.retry(batch[:2], other.id).changed == 3
    assert (batch.counts()[Status.NEW], task.status, other.status) == (2, Status.CANCELED, Status.NEW)


def test_coroutine_functions_run(q: Queue) -> None:
    async def add(a: int, b: int) -> int:
        import asyncio

        await asyncio.sleep(0)
        return a + b

    assert q.submit(add, 1, 2).result(timeout=20) == 3


def test_items_are_encoded_before_a_transaction_is_opened(alone: Queue) -> None:
    def items() -> Iterator[int]:
        with psycopg.connect(alone.dsn) as connection:
            open_now = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in %'"
            ).fetchone()
        assert open_now is not None
        yield open_now[0]

    assert alone.map(double, items()).inputs() == [0]


def test_what_makes_another_lane_is_seen_at_each_submit(
    alone: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urgent = alone.options(priority=5)
    tags: list[str] = []
    tagged = alone.options(tags=tags)

    def lanes() -> list[int | None]:
        return [given.submit(double, 1)._lane for given in (alone, alone, urgent, urgent, tagged, alone)]

    first = lanes()
    assert first[0] == first[1] == first[5] == first[4] != first[2] == first[3]
    tags.append("gpu")
    assert tagged.submit(double, 1)._lane not in first
    monkeypatch.chdir(tmp_path)
    assert set(lanes()).isdisjoint(first)
    assert alone.submit(lambda: 1)._lane not in {*first, *lanes()}

"""Parts of a batch, and its results: in order, as they come, with errors raised, returned or skipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import goque
from goque import InvalidInput, Queue, Status
from goque.app.batch import Batch


@pytest.fixture(scope="module")
def mixed(q: Queue) -> Batch:
    """Ten tasks, of which every third fails: 0, 3, 6 and 9."""

    def odd_one_out(x: int) -> int:
        if x % 6 == 0:
            raise ValueError(f"bad {x}")
        if x % 3 == 0:
            raise KeyError(x)
        return 10 * x

    batch = q.map(odd_one_out, range(10), max_attempts=1)
    return batch.wait(20)


@pytest.fixture
def gate(tmp_path: Path) -> Callable[[Any], Any]:
    """A function that waits for the file ``open-<x>`` in this test's folder and gives x."""
    folder = str(tmp_path)

    def wait_for(x: Any) -> Any:
        import pathlib
        import time

        give_up_at = time.monotonic() + 20
        while not (pathlib.Path(folder) / f"open-{x}").exists() and time.monotonic() < give_up_at:
            time.sleep(0.005)
        return x

    return wait_for


def test_a_place_is_a_task(mixed: Batch) -> None:
    assert mixed[1].result() == 10
    assert mixed[-2].result() == 80
    assert [mixed[place].position for place in (0, -1)] == [0, 9]
    assert mixed[4].batch == mixed.id
    for place in (10, -11):
        with pytest.raises(IndexError, match="10 tasks"):
            mixed[place]


def test_slices_lists_and_masks_are_batches_with_their_positions(mixed: Batch) -> None:
    assert mixed[1:3].results() == [10, 20]
    assert mixed[::4].positions == [0, 4, 8]
    assert mixed[[1, 2, 4]].results() == [10, 20, 40]
    assert mixed[numpy.array([1, 2])].positions == [1, 2]
    mask = [position in (4, 5) for position in range(10)]
    assert mixed[mask].results() == mixed[numpy.array(mask)].results() == [40, 50]
    assert (len(mixed[5:5]), mixed[5:5].results()) == (0, [])
    assert mixed[4:][1].position == 5
    assert mixed[4:][[0, 1]].positions == [4, 5]
    assert mixed[-2:].positions == [8, 9]


def test_handles_of_the_same_tasks_are_equal(q: Queue, mixed: Batch) -> None:
    again = q.batch(mixed.id)
    assert again == mixed
    assert hash(again) == hash(mixed)
    assert len({again, mixed, again[:4]}) == 2
    assert again[:4] == mixed[[0, 1, 2, 3]]
    assert again[:4] != mixed
    assert again != mixed.id
    assert q.map(abs, range(len(mixed))) != mixed


def test_a_mask_of_another_length_and_places_outside_are_refused(mixed: Batch) -> None:
    with pytest.raises(IndexError, match="mask"):
        mixed[[True, False]]
    with pytest.raises(IndexError, match="no place 10"):
        mixed[[0, 10]]
    assert mixed[[-1]].positions == [9]


def test_where_finds_tasks_by_status_and_by_error(mixed: Batch) -> None:
    assert mixed.where(status="done").positions == [1, 2, 4, 5, 7, 8]
    assert mixed.where(status=[Status.ATTEMPTS_LEFT]).positions == [0, 3, 6, 9] == mixed.failed().positions
    assert mixed.where(error_type=KeyError).positions == mixed.where(error_type="KeyError").positions == [3, 9]
    assert mixed[:5].where(status="done", error_type=None).positions == [1, 2, 4]
    assert mixed.failed().where(error_type="ValueError").positions == [0, 6]
    with pytest.raises(InvalidInput, match="status is one of new, pending"):
        mixed.where(status="failed")


def test_a_part_is_fixed_when_it_is_made(q: Queue) -> None:
    batch = q.map(lambda x: 1 / x, [0, 1], max_attempts=1).wait(20)
    failed = batch.failed()
    batch.retry(lambda x: x)
    batch.wait(20)
    assert (failed.positions, failed.results()) == ([0], [0])
    assert len(batch.failed()) == 0


def test_counts_of_a_part_are_its_own(mixed: Batch) -> None:
    assert {status: n for status, n in mixed[:4].counts().items() if n} == {Status.DONE: 2, Status.ATTEMPTS_LEFT: 2}
    assert set(mixed.counts()) == set(Status)
    assert mixed.done()


def test_results_raise_the_first_error_in_order(mixed: Batch) -> None:
    with pytest.raises(ValueError, match="bad 0"):
        mixed.results()
    with pytest.raises(KeyError):
        mixed[1:6].results()


def test_results_return_or_skip_errors(mixed: Batch) -> None:
    kept = mixed.results(errors="return")
    assert [type(value).__name__ for value in kept[:4]] == ["ValueError", "int", "int", "KeyError"]
    assert mixed.results(errors="skip") == [10, 20, 40, 50, 70, 80]
    with pytest.raises(InvalidInput, match="'raise', 'return' or 'skip'"):
        mixed.results(errors="ignore")  # type: ignore[arg-type]


def test_iteration_gives_results_in_input_order_as_they_come(q: Queue, gate: Any, tmp_path: Path) -> None:
    batch = q.map(gate, ["a", "b"])
    results = iter(batch)
    (tmp_path / "open-b").touch()
    batch[1].result(timeout=20)
    assert not batch[0].done()
    (tmp_path / "open-a").touch()
    assert list(results) == ["a", "b"]


def test_as_completed_gives_tasks_as_they_end(q: Queue, gate: Any, tmp_path: Path) -> None:
    batch = q.map(gate, ["a", "b"])
    coming: Iterator[Any] = batch.as_completed(timeout=20)
    (tmp_path / "open-b").touch()
    first = next(coming)
    assert (first.position, first.result()) == (1, "b")
    (tmp_path / "open-a").touch()
    assert next(coming).result() == "a"
    assert next(coming, None) is None


def test_a_timeout_ends_the_waiting_and_not_the_work(q: Queue, gate: Any, tmp_path: Path) -> None:
    batch = q.map(gate, ["t"])
    for wait in (batch.wait, lambda timeout: batch.results(timeout=timeout), batch[0].result, batch[0].exception):
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="(they go|it goes) on"):
            wait(timeout=0.05)
        assert time.monotonic() - began < 2
    with pytest.raises(TimeoutError):
        list(batch.as_completed(timeout=0))
    (tmp_path / "open-t").touch()
    assert batch.wait(20) is batch
    assert batch.results() == ["t"]


def test_await_gives_results_under_a_running_loop(q: Queue) -> None:
    async def cell() -> tuple[Any, ...]:
        batch, task = q.map(lambda x: x + 1, range(3)), q.submit(pow, 2, 10)
        # Waiting without await works there as well.
        return await batch, await task, q.submit(pow, 3, 2).result(timeout=20)

    assert asyncio.run(cell()) == ([1, 2, 3], 1024, 9)


def test_await_raises_what_the_task_raised(q: Queue, mixed: Batch) -> None:
    async def cell() -> None:
        with pytest.raises(ValueError, match="bad 0"):
            await mixed
        with pytest.raises(KeyError):
            await mixed[3]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(q.options(delay="1h").submit(pow, 1, 1), 0.05)

    asyncio.run(cell())


def test_inputs_give_the_items_back(q: Queue) -> None:
    assert q.map(lambda x: x, ["a", {"b": 1}]).inputs() == ["a", {"b": 1}]
    pairs = q.map(lambda a, b, c: a, [1, 2], [3, 4], kwargs={"c": 5})
    assert pairs.inputs() == [(1, 3), (2, 4)]
    assert pairs[1:].inputs() == [(2, 4)]
    assert q.starmap(lambda a, b: a, [{"a": 1, "b": 2}]).inputs() == [{"a": 1, "b": 2}]


def test_as_completed_wait_and_gather_take_tasks_and_batches(q: Queue, mixed: Batch) -> None:
    task, batch = q.submit(pow, 2, 3), q.map(lambda x: x, range(5))
    ended = list(goque.as_completed([task, batch], timeout=20))
    assert sorted(one.result() for one in ended) == [0, 1, 2, 3, 4, 8]
    done, not_done = goque.wait([task, batch], timeout=20)
    assert (len(done), not_done) == (6, set())
    assert goque.gather(task, batch, timeout=20) == [8, [0, 1, 2, 3, 4]]
    assert goque.gather(mixed[1], mixed[0], mixed[:2], errors="skip") == [10, [10]]
    with pytest.raises(ValueError, match="bad 0"):
        goque.gather(mixed[0])
    assert list(goque.as_completed([])) == []


def test_goque_wait_says_what_is_not_done(q: Queue) -> None:
    done, later = q.submit(pow, 2, 3), q.options(delay="1h").submit(pow, 2, 3)
    done.wait(20)
    found = goque.wait([done, later], timeout=0.3)
    assert (found.done, found.not_done) == ({done}, {later})
    with pytest.raises(TimeoutError):
        list(goque.as_completed([later], timeout=0.05))


def test_a_repr_says_what_it_is_and_how_it_stands(mixed: Batch) -> None:
    assert repr(mixed).startswith(f"<Batch {mixed.id}: 10 x ")
    assert "6 done" in repr(mixed)
    assert "4 attempts_left" in repr(mixed)
    assert "2 of 10" in repr(mixed[:2])
    assert repr(mixed[1]) == f"<Task {mixed[1].id} done>"


@pytest.mark.parametrize("read", ["results", "as_completed"])
def test_large_results_are_read_together_and_the_largest_by_itself(
    q: Queue, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [100_000] * 6 + [5 * 1024 * 1024] + [100_000] * 2
    batch = q.map(bytes, sizes).wait(timeout=30)
    asked = []
    plain = q._core.database.all

    def all(statement: Any) -> Any:
        if statement.name == "outcomes.results":
            asked.append(len(statement.values["ids"]))
        return plain(statement)

    monkeypatch.setattr(q._core.database, "all", all)
    values = batch.results() if read == "results" else [task.result() for task in batch.as_completed()]
    assert [len(value) for value in values] == sizes
    assert asked == [6, 1, 2]

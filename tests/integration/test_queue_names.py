"""``name=``: running a cell again finds its batch; what differs is said, extended or replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from goque import BatchMismatch, InvalidInput, NotFound, Queue, Status

Stored = Callable[[], tuple[int, int]]


def double(x: Any) -> Any:
    return 2 * x


def test_the_same_map_under_one_name_is_one_batch(alone: Queue, stored: Stored) -> None:
    first = alone.map(double, range(10), name="n")
    again = alone.map(double, range(10), name="n")
    from_generator = alone.map(double, (x for x in range(10)), name="n")
    assert first.id == again.id == from_generator.id
    assert stored() == (1, 10)


def test_sets_and_dicts_count_by_what_they_hold(alone: Queue) -> None:
    first = alone.map(double, [{"a": 1, "b": {3, 1, 2}}], name="n")
    assert alone.map(double, [{"b": {2, 3, 1}, "a": 1}], name="n").id == first.id


def test_other_items_raise_and_say_which(alone: Queue, stored: Stored) -> None:
    alone.map(double, [1, 2, 3], name="n")
    with pytest.raises(BatchMismatch, match="on_change='extend'") as caught:
        alone.map(double, [2, 3, 4, 5], name="n")
    assert (caught.value.added, caught.value.removed, caught.value.function_changed) == ((2, 3), (0,), False)
    assert stored() == (1, 3)


def test_another_order_is_other_work(alone: Queue) -> None:
    alone.map(double, [1, 2], name="n")
    with pytest.raises(BatchMismatch, match="another order") as caught:
        alone.map(double, [2, 1], name="n")
    assert (caught.value.added, caught.value.removed) == ((), ())


def test_another_function_raises_and_is_said_to_differ(alone: Queue) -> None:
    alone.map(lambda x: x + 1, [1], name="n")
    with pytest.raises(BatchMismatch, match="function") as caught:
        alone.map(lambda x: x + 2, [1], name="n")
    assert caught.value.function_changed


def test_captured_values_defaults_and_shared_arguments_are_part_of_the_function(alone: Queue) -> None:
    def made(captured: int, default: int) -> Callable[..., int]:
        def add(x: int, y: int = default, z: int = 0) -> int:
            return x + y + z + captured

        return add

    first = alone.map(made(1, 1), [1], name="n", kwargs={"z": 1})
    assert alone.map(made(1, 1), [1], name="n", kwargs={"z": 1}).id == first.id
    for func, shared in ((made(2, 1), {"z": 1}), (made(1, 2), {"z": 1}), (made(1, 1), {"z": 2}), (made(1, 1), {})):
        with pytest.raises(BatchMismatch) as caught:
            alone.map(func, [1], name="n", kwargs=shared)
        assert caught.value.function_changed


def test_comments_and_formatting_do_not_make_another_function(alone: Queue) -> None:
    def first() -> Callable[[int], int]:
        def add(x: int) -> int:
            return x + 1

        return add

    def second() -> Callable[[int], int]:
        def add(x: int) -> int:
            # the same, said otherwise
            return (x
                    + 1)  # fmt: skip

        return add

    assert alone.map(first(), [1], name="n").id == alone.map(second(), [1], name="n").id


def test_extend_runs_only_the_new_items(q: Queue) -> None:
    first = q.map(double, [1, 2], name="extended")
    assert first.results(timeout=20) == [2, 4]
    grown = q.map(double, [2, 1, 3, 3], name="extended", on_change="extend")
    assert grown.id == first.id
    assert grown.results(timeout=20) == [2, 4, 6, 6]
    assert grown.inputs() == [1, 2, 3, 3]
    assert [grown[place].attempts for place in range(4)] == [1, 1, 1, 1]
    again = q.map(double, [1, 2, 3, 3], name="extended")
    assert (again.id, len(again)) == (first.id, 4)


def test_extend_does_not_run_another_function_on_old_work(alone: Queue) -> None:
    alone.map(lambda x: x, [1], name="n")
    with pytest.raises(BatchMismatch):
        alone.map(lambda x: -x, [1, 2], name="n", on_change="extend")


def test_replace_cancels_the_old_batch_which_stays_reachable_by_id(alone: Queue) -> None:
    old = alone.map(lambda x: x, [1, 2], name="n")
    new = alone.map(lambda x: -x, [5], name="n", on_change="replace")
    assert new.id != old.id
    assert alone.batch("n").id == new.id
    assert alone.batch(old.id).counts()[Status.CANCELED] == 2
    assert alone.batch(old.id).inputs() == [1, 2]
    assert alone.map(lambda x: -x, [5], name="n", on_change="replace").id == new.id


def test_a_name_belongs_to_its_owner(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOQUE_OWNER", "ann")
    with Queue(dsn) as hers, Queue(dsn, owner="bob") as his:
        first, second = hers.map(double, [1], name="parse"), his.map(double, [2], name="parse")
        assert first.id != second.id
        assert (first.owner, second.owner) == ("ann", "bob")
        assert hers.batch("parse").id == first.id
        assert hers.batch("bob/parse").id == second.id == his.batch("parse").id
        assert (hers.last.id, his.last.id) == (first.id, second.id)
        with pytest.raises(NotFound):
            hers.batch("carl/parse")


def test_concurrent_calls_with_one_name_make_one_batch(alone: Queue, stored: Stored) -> None:
    barrier = threading.Barrier(8)
    found: list[Any] = []

    def call(number: int) -> None:
        barrier.wait()
        try:
            items: Any = range(2_000) if number % 2 else iter(range(2_000))
            found.append(alone.map(double, items, name="n").id)
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1, found
    assert stored() == (1, 2_000)


def test_concurrent_calls_with_one_name_and_other_items_leave_one_batch_and_one_mismatch(alone: Queue) -> None:
    barrier = threading.Barrier(2)
    found: list[Any] = []

    def call(items: list[int]) -> None:
        barrier.wait()
        try:
            found.append(alone.map(double, items, name="n").id)
        except BatchMismatch as error:
            found.append(error)

    threads = [threading.Thread(target=call, args=(items,)) for items in ([1, 2], [1, 3])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in found) == ["BatchMismatch", "int"]


def test_concurrent_extensions_add_each_item_once(alone: Queue, stored: Stored) -> None:
    alone.map(double, [0], name="n")
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def call() -> None:
        barrier.wait()
        try:
            alone.map(double, range(100), name="n", on_change="extend")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert stored() == (1, 100)
    assert alone.batch("n").inputs() == list(range(100))


def test_concurrent_replacements_leave_one_batch(alone: Queue) -> None:
    alone.map(double, [0], name="n")
    barrier = threading.Barrier(4)
    found: list[Any] = []

    def call() -> None:
        barrier.wait()
        try:
            found.append(alone.map(double, [1, 2], name="n", on_change="replace").id)
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone.batch("n").id] * 4


def test_a_canceled_batch_that_is_extended_runs_the_new_items(q: Queue) -> None:
    batch = q.options(delay="1h").map(double, [1], name="cut short")
    batch.cancel("not now")
    grown = q.map(double, [1, 2], name="cut short", on_change="extend")
    assert grown[1].result(timeout=20) == 4
    assert grown[0].status is Status.CANCELED


CELL = """
import json, sys
from goque import Queue
source = '''
class Point:
    def __init__(self, x): self.x = x
OFFSET = {offset}
def shifted(item, *, tags):
    return item["x"] + OFFSET, Point
'''
exec(compile(source, "<cell>", "exec"))
with Queue() as q:
    items = [dict(sorted({{"x": n, "names": {{"c", "a", "b"}}}}.items(), reverse={reverse})) for n in range(5)]
    try:
        print(json.dumps(q.map(shifted, items, name="cell", kwargs={{"tags": {{"one", "two", "three"}}}}).id))
    except Exception as error:
        print(json.dumps([type(error).__name__, error.function_changed, len(error.added)]))
"""


def test_the_same_cell_in_a_new_kernel_finds_the_batch(alone: Queue, run_script: Callable[..., Any]) -> None:
    ids = [
        run_script(CELL.format(offset=1, reverse=bool(seed % 2)), alone.dsn, PYTHONHASHSEED=str(seed))
        for seed in (1, 2, 3)
    ]
    assert ids == [alone.batch("cell").id] * 3
    assert run_script(CELL.format(offset=2, reverse=False), alone.dsn) == ["BatchMismatch", True, 0]


def test_a_function_that_it_was_retried_with_counts_as_the_same(q: Queue) -> None:
    batch = q.map(lambda x: 1 / 0, [1], name="mended", max_attempts=1)
    batch.wait(20)
    fixed = double
    batch.retry(fixed)
    assert batch.results(timeout=20) == [2]
    assert q.map(fixed, [1], name="mended").id == batch.id
    assert q.map(lambda x: 1 / 0, [1], name="mended").id == batch.id


@pytest.mark.parametrize("name", ["", "with/slash", "nul\0", "x" * 501, 7, b"bytes"])
def test_a_name_that_cannot_be_one_is_refused(alone: Queue, stored: Stored, name: Any) -> None:
    with pytest.raises(InvalidInput, match="name"):
        alone.map(double, [1], name=name)
    assert stored() == (0, 0)


def test_a_name_is_an_option_of_maps_only(alone: Queue) -> None:
    with pytest.raises(InvalidInput, match="option of maps"):
        alone.options(name="n").submit(double, 1)


class Counted:
    """An item that knows how many of its kind live at once."""

    alive = most = 0

    def __init__(self, number: int) -> None:
        self.number = number
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1


def test_a_named_map_keeps_no_items_in_memory(alone: Queue) -> None:
    batch = alone.map(str, (Counted(number) for number in range(2_000)), name="bounded")
    assert len(batch) == 2_000
    assert Counted.most < 20
    assert alone.map(str, (Counted(number) for number in range(2_000)), name="bounded").id == batch.id
    assert Counted.most < 20

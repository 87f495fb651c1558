"""Bad input: each has a typed error that says what to do, and leaves nothing half-stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pandas
import pytest

import goque
from goque import InvalidInput, NotSerializable, PayloadTooLarge, Queue, UnknownOption
from goque.postgres.database import Database
from tests.integration.conftest import SECRET
from tests.servers import end_sessions

Stored = Callable[[], tuple[int, int]]
LOCK = threading.Lock()


def work(x: Any) -> Any:
    return x


@pytest.fixture(scope="module")
def alone(shared: Database) -> Iterator[Queue]:
    """One queue for all of them, that nobody serves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOQUE_SECRET", SECRET)
        queue = Queue(shared.dsn, owner="tester")
    with queue:
        yield queue


@pytest.fixture(autouse=True)
def nothing_stored(alone: Queue, stored: Stored) -> Iterator[None]:
    """Whatever a test here tries, nothing more is stored, and the queue stays usable."""
    before = stored()
    yield
    assert stored() == before
    assert alone.map(work, [1, 2]).inputs() == [1, 2]


def test_a_function_that_cannot_be_pickled_is_refused_by_name(alone: Queue) -> None:
    lock = LOCK

    def holds_a_lock(x: int) -> int:
        with lock:
            return x

    for give in (lambda: alone.map(holds_a_lock, [1]), lambda: alone.submit(holds_a_lock, 1)):
        with pytest.raises(NotSerializable, match="lock"):
            give()


def test_an_argument_that_cannot_be_pickled_is_named(alone: Queue) -> None:
    with pytest.raises(NotSerializable, match="lock"):
        alone.submit(work, LOCK)
    with pytest.raises(NotSerializable, match="inner"):
        alone.submit(work, x={"inner": [LOCK]})
    with pytest.raises(NotSerializable, match="lock"):
        alone.map(lambda x, y: x, [1], kwargs={"y": LOCK})


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_one_bad_item_among_many_refuses_the_map(alone: Queue, make: Callable[..., Any]) -> None:
    items: list[Any] = [*range(60_000), LOCK, 1]
    with pytest.raises(NotSerializable):
        alone.map(work, make(items), name="n")


def test_a_generator_that_raises_after_many_items_leaves_nothing(alone: Queue) -> None:
    def items() -> Iterator[int]:
        yield from range(50_000)
        raise OSError("the file ended")

    with pytest.raises(OSError, match="the file ended"):
        alone.map(work, items())


def test_an_interrupt_while_items_are_read_leaves_nothing(alone: Queue) -> None:
    def items() -> Iterator[int]:
        yield from range(5_000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        alone.map(work, items())


def test_items_that_change_while_they_are_read_leave_nothing(alone: Queue) -> None:
    items: list[Any] = [1, 2, 3]

    class Grows:
        def __reduce__(self) -> Any:
            items.append(4)
            return int, (5,)

    items[1] = Grows()
    with pytest.raises(InvalidInput, match="changed while they were read"):
        alone.map(work, items)


def test_arguments_over_the_limit_are_refused_with_the_remedy(alone: Queue) -> None:
    large = bytes(129 * 1024 * 1024)
    with pytest.raises(PayloadTooLarge) as caught:
        alone.submit(work, large)
    assert caught.value.limit == 128 * 1024 * 1024
    assert caught.value.size > caught.value.limit
    with pytest.raises(PayloadTooLarge):
        alone.map(work, [1, large])


def test_a_function_that_carries_too_much_is_refused_and_the_variable_named(alone: Queue) -> None:
    table = bytes(17 * 1024 * 1024)
    with pytest.raises(PayloadTooLarge, match=r"table .*kwargs="):
        alone.map(lambda x: table[x], [1])


def test_a_function_that_carries_much_warns_at_the_caller_s_line(alone: Queue) -> None:
    table = bytes(300 * 1024)
    with pytest.warns(UserWarning, match="table") as seen:
        alone.map(lambda x: table[x], [1], dry_run=1)
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("iterable", "remedy"),
    [
        ("text", r"\[value\]"),
        (b"bytes", r"\[value\]"),
        ({"a": 1}, r"d\.items\(\)"),
        (pandas.DataFrame({"x": [1]}), r"q\.starmap\(func, df\)"),
        (7, r"q\.submit"),
        (None, r"q\.submit"),
    ],
    ids=["str", "bytes", "dict", "frame", "int", "none"],
)
def test_an_iterable_that_is_almost_certainly_a_mistake_is_refused(alone: Queue, iterable: Any, remedy: str) -> None:
    with pytest.raises(InvalidInput, match=remedy):
        alone.map(work, iterable)


def test_a_map_needs_items_and_a_callable(alone: Queue) -> None:
    with pytest.raises(InvalidInput, match="at least one iterable"):
        alone.map(work)
    for thing in (None, "work", 3):
        with pytest.raises(InvalidInput, match="a task runs a function, and this is a value of type"):
            alone.map(thing, [1])  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="a task runs a function, and this is a value of type"):
            alone.submit(thing, 1)  # type: ignore[arg-type]


def test_sized_items_of_unequal_length_are_refused(alone: Queue) -> None:
    with pytest.raises(InvalidInput, match=r"\[2, 3\].*strict=False"):
        alone.map(lambda a, b: a, [1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="strict|shorter|longer"):
        alone.map(lambda a, b: a, [1, 2], iter([1, 2, 3]))


def test_an_item_that_does_not_fit_the_function_is_refused(alone: Queue) -> None:
    with pytest.raises(InvalidInput, match="starmap spreads"):
        alone.map(lambda a, b: a, [(1, 2)])
    with pytest.raises(InvalidInput, match="does not fit"):
        alone.submit(work)
    with pytest.raises(InvalidInput, match="unexpected keyword"):
        alone.map(work, [1], kwargs={"y": 2})
    with pytest.raises(InvalidInput, match="row of starmap"):
        alone.starmap(work, [1])
    with pytest.raises(InvalidInput, match="keys are names"):
        alone.starmap(work, [{1: 2}])


def test_a_generator_function_is_refused(alone: Queue) -> None:
    def lazy(x: int) -> Iterator[int]:
        yield x

    with pytest.raises(InvalidInput, match=r"return a list"):
        alone.map(lazy, [1])


def test_an_unknown_option_names_the_close_ones(alone: Queue) -> None:
    with pytest.raises(UnknownOption, match="Did you mean timeout") as caught:
        alone.map(work, [1], timeuot=3)
    assert (caught.value.name, caught.value.close) == ("timeuot", ("timeout",))
    with pytest.raises(UnknownOption, match="Options are: queue"):
        alone.options(zzz=1)


@pytest.mark.parametrize(
    "options",
    [
        {"run_at": datetime(2030, 1, 1)},
        {"expires": datetime(2030, 1, 1)},
        {"run_at": "tomorrow"},
        {"delay": -1},
        {"delay": "soon"},
        {"delay": float("nan")},
        {"delay": float("inf")},
        {"delay": 1, "run_at": datetime(2030, 1, 1).astimezone()},
        {"timeout": 0},
        {"timeout": "10 parsecs"},
        {"max_attempts": 0},
        {"max_attempts": 2.5},
        {"max_attempts": 10**9},
        {"priority": 2**31},
        {"priority": "high"},
        {"queue": "nul\0"},
        {"queue": ""},
        {"queue": "*"},
        {"tags": "gpu"},
        {"tags": ["nul\0"]},
        {"retry": "often"},
        {"retry_on": [1]},
        {"metadata": {"x": object()}},
        {"metadata": {"nul": "\0"}},
        {"metadata": {"nan": float("nan")}},
        {"metadata": {"broken": "\udc80"}},
        {"metadata": [1, 2]},
        {"keep": -1},
        {"on_duplicate": "ignore"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_an_option_that_cannot_be_is_refused(alone: Queue, options: dict[str, Any]) -> None:
    for give in (lambda: alone.map(work, [1], **options), lambda: alone.options(**options).submit(work, 1)):
        with pytest.raises(InvalidInput):
            give()


@pytest.mark.direct
def test_a_database_that_goes_away_while_a_map_streams_leaves_nothing(alone: Queue) -> None:
    class Cuts:
        """Ends all sessions of the database while it is encoded, once the rows are on their way."""

        def __reduce__(self) -> Any:
            end_sessions(alone.dsn)
            return int, (1,)

    items = [*range(200_000), Cuts(), 1]
    with pytest.raises(goque.DatabaseUnavailable):
        alone.map(work, items)

"""Sameness of values: equal in every process, different where it matters."""

from __future__ import annotations

import functools
import math
import re
import threading
import uuid
from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque.errors import NotSerializable
from goque.payload.digests import digest
from tests.unit.payload_cells import run_cell, run_python

Pair = namedtuple("Pair", "left right")


class Color(Enum):
    RED = 1
    BLUE = 2


class Level(IntEnum):
    LOW = 1


@dataclass(frozen=True)
class Point:
    x: float
    tags: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Slotted:
    x: int


class Slots:
    __slots__ = ("a",)

    def __init__(self, a: Any) -> None:
        self.a = a


class Stateful:
    def __init__(self, kept: int, handle: object) -> None:
        self.kept = kept
        self.handle = handle

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": self.kept}


class Words(list[str]):
    pass


DISTINCT: list[Any] = [
    None, True, False, 0, 1, -1, 255, 256, 10**5000, 0.0, -0.0, 1.0, math.inf, math.nan, 1j, complex(1, -0.0),
    "", "1", "a", b"", b"a", bytearray(b"a"), "\ud800", (), [], {}, set(), frozenset(), (1,), [1], {1}, frozenset({1}),
    [1, 2], [2, 1], [[1], 2], [1, [2]], [[1, 2]], ["ab", "c"], ["a", "bc"], {1: 2}, {2: 1}, {"a": {"b": 1}},
    date(2026, 1, 1), datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, fold=1),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    time(1), timedelta(1), timedelta(seconds=1), Decimal("1.0"), Decimal("1.00"), Fraction(1, 3), uuid.UUID(int=1),
    Path("a"), Path("b"), Color.RED, Color.BLUE, Level.LOW, range(3), range(0, 3, 2), slice(3), slice(0, 3), ...,
    Pair(1, 2), Pair(2, 1), Point(1.0), Point(2.0), Point(1.0, {"a"}), Slotted(1), Slotted(2), Slots(1), Slots("1"),
    Stateful(1, None), Stateful(2, None), Words(["a"]), Words(["b"]), OrderedDict(a=1), defaultdict(int, a=1),
    defaultdict(list, a=1), deque([1, 2]), deque([2, 1]), re.compile("a"), re.compile("b"), ValueError("a"),
    ValueError("b"), KeyError("a"), functools.partial(int, "1"), functools.partial(int, "2"), math, re, int, str, len,
    print, math.sqrt, threading.Lock(), [].append, [1].append, np.add, np.multiply,
    np.int64(1), np.int32(1), np.float64(1), np.datetime64("2026-01-01"), np.array(1), np.array([1]), np.array([[1]]),
    np.array([1, 2]), np.array([2, 1]), np.array([1, 2], dtype="int32"), np.array([1, 2], dtype=">i8"),
    np.array(["a", "b"]), np.array(["a", "b"], dtype=object), np.array(["a", "b"], dtype="T"), np.zeros((0, 2)),
    np.zeros((2, 0)), np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), np.array(["2026-01-01"], "M8[D]"),
    np.ma.masked_array([1, 2], [False, True]), np.ma.masked_array([1, 2], [True, False]),
    pd.DataFrame(), pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]}), pd.DataFrame({"a": [1.0, 2.0]}),
    pd.DataFrame({"a": [1, 2]}, index=[5, 6]), pd.DataFrame({"a": ["x", None]}), pd.DataFrame({"a": ["x", "y"]}),
    pd.Series([1, 2]), pd.Series([1, 2], name="n"), pd.Series([1, None], dtype="Int64"),
    pd.Series([1, 2], dtype="Int64"),
    pd.Series(["a", "b"], dtype="category"), pd.Series(["b", "a"], dtype="category"), pd.Index([1, 2]),
    pd.MultiIndex.from_tuples([(1, 2)]), pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-01", tz="UTC"),
    pd.Timedelta("1D"), pd.NaT, pd.NA, pd.date_range("2026-01-01", periods=2), pd.interval_range(0, 2),
    pd.date_range("2026-01-01", periods=2, tz="UTC"), pd.Series([True, False]), pd.period_range("2026", periods=2),
]  # fmt: skip


def test_different_values_have_different_digests() -> None:
    seen: dict[bytes, Any] = {}
    for value in DISTINCT:
        key = digest(value)
        assert len(key) == 16
        assert key not in seen, (value, seen.get(key))
        seen[key] = value


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.uuids()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=15,
)


@given(values)
def test_a_copy_has_the_same_digest(value: Any) -> None:
    import pickle

    assert digest(pickle.loads(pickle.dumps(value))) == digest(value)


@given(st.dictionaries(st.text(), st.integers()), st.randoms())
def test_the_order_of_dicts_and_sets_does_not_count(value: dict[str, int], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert digest({key: value[key] for key in keys}) == digest(value)
    assert digest(set(keys)) == digest(set(value))


@given(st.lists(st.integers()), st.lists(st.integers()))
def test_lists_have_equal_digests_exactly_when_they_are_equal(one: list[int], other: list[int]) -> None:
    assert (digest(one) == digest(other)) is (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (math.nan, -math.nan),
        (Point(1.0, {"a", "b", "c"}), Point(1.0, {"c", "b", "a"})),
        (Stateful(1, object()), Stateful(1, object())),
        (threading.Lock(), threading.Lock()),
        ((i for i in range(1)), (i for i in range(2))),
        (np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy()),
        (np.arange(10)[::2], np.array([0, 2, 4, 6, 8])),
        (pd.DataFrame({"a": [1, 2, 3]}).iloc[:2], pd.DataFrame({"a": [1, 2]})),
        ({1: "a", "x": 2}, {"x": 2, 1: "a"}),
        ([1] * 3, [1, 1, 1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_counts_as_the_same_has_the_same_digest(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


def test_shared_and_repeated_parts_are_the_same() -> None:
    part = [1, [2]]
    assert digest([part, part]) == digest([[1, [2]], [1, [2]]])


def test_a_wide_tree_of_shared_parts_is_walked_once() -> None:
    value: list[Any] = []
    for _ in range(200):
        value = [value, value]
    assert digest(value) == digest(value)  # 2**200 paths otherwise


def test_cycles_have_digests_that_follow_their_shape() -> None:
    def ring(length: int) -> list[Any]:
        first: list[Any] = []
        current = first
        for _ in range(length - 1):
            following: list[Any] = []
            current.append(following)
            current = following
        current.append(first)
        return first

    assert digest(ring(2)) == digest(ring(2))
    assert digest(ring(2)) != digest(ring(3))
    node: dict[str, Any] = {"name": "a"}
    node["self"] = node
    other: dict[str, Any] = {}
    other["self"] = other
    other["name"] = "a"
    assert digest(node) == digest(other)


def test_endless_nesting_is_refused_in_words() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(NotSerializable, match="nested too deeply"):
        digest(nested)


CELL = """
    import math
    factor = {"b": 2, "a": 1}
    names = {"x", "y", "z"}

    def helper(x):
        return x * factor["b"]

    def work(x, scale=frozenset({"p", "q"})):
        # a comment
        if x:
            return helper(x) + len(names)
        return math.sqrt(work(1))
"""


def test_a_function_is_its_source_not_its_formatting() -> None:
    reformatted = CELL.replace("# a comment", "").replace("helper(x) + len(names)", "helper( x )  +  len(names)")
    assert digest(run_cell(CELL)["work"]) == digest(run_cell(reformatted, kernel=7)["work"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return helper(x)", "return 2 + helper(x)"),
        ('return x * factor["b"]', 'return x + factor["b"]'),
        ('"b": 2', '"b": 3'),
        ('"z"}', '"w"}'),
        ('{"p", "q"}', '{"p"}'),
        ("import math", "import cmath as math"),
    ],
)
def test_a_function_changes_with_its_body_helpers_defaults_and_captured_values(before: str, after: str) -> None:
    assert before in CELL
    assert digest(run_cell(CELL)["work"]) != digest(run_cell(CELL.replace(before, after))["work"])


def test_captured_cells_and_partials_count() -> None:
    cell = run_cell("""
        import functools
        def make(n):
            def inner(x): return x + n
            return inner
        one, same, two = make(1), make(1), make(2)
    """)
    assert digest(cell["one"]) == digest(cell["same"])
    assert digest(cell["one"]) != digest(cell["two"])
    assert digest(functools.partial(cell["one"], 1)) == digest(functools.partial(cell["same"], 1))
    assert digest(functools.partial(cell["one"], 1)) != digest(functools.partial(cell["two"], 1))


def test_lambdas_of_one_line_are_told_apart() -> None:
    cell = run_cell("a, b, c = (lambda x: x + 1), (lambda x: x + 2), (lambda x: lambda y: x + y)")
    again = run_cell("options = 3; a = lambda x: x + 1")
    keys = {digest(cell["a"]), digest(cell["b"]), digest(cell["c"]), digest(cell["c"](1))}
    assert len(keys) == 4
    assert digest(again["a"]) == digest(cell["a"])


def test_a_decorator_does_not_hide_the_function_in_it() -> None:
    text = """
        import functools
        def twice(f):
            @functools.wraps(f)
            def wrapper(x): return f(f(x))
            return wrapper
        @twice
        def g(x): return x + 1
        @functools.lru_cache
        def h(x): return x + 1
    """
    changed = text.replace("x + 1", "x + 2")
    for name in ("g", "h"):
        assert digest(run_cell(text)[name]) == digest(run_cell(text, kernel=9)[name])
        assert digest(run_cell(text)[name]) != digest(run_cell(changed)[name])


def test_a_captured_notebook_class_counts_with_its_methods() -> None:
    text = """
        class Model:
            rate = 3
            def predict(self, x): return x * self.rate
        def work(x): return Model().predict(x)
    """
    assert digest(run_cell(text)["work"]) == digest(run_cell(text, kernel=9)["work"])
    for before, after in (("x * self", "x + self"), ("rate = 3", "rate = 4")):
        assert digest(run_cell(text)["work"]) != digest(run_cell(text.replace(before, after))["work"])


SCRIPT = """
    import sys, datetime, decimal
    import numpy, pandas
    from tests.unit.payload_cells import run_cell
    from goque.payload.digests import digest
    from goque.payload.functions import capture
    cell = run_cell(sys.argv[2], kernel=int(sys.argv[1]))
    class Thing:
        def __init__(self): self.names = {"x", "y", "z"}; self.other = {"k": frozenset("abc")}
    values = [
        {"a", "b", ("c", 1)}, {"k": {1.5, "s"}, 2: None}, Thing(), cell["work"], numpy.arange(3), numpy.float32(2),
        pandas.DataFrame({"a": [1, 2], "b": ["x", None]}), datetime.date(2026, 1, 1), decimal.Decimal("1.5"),
        pandas.Timestamp("2026-01-01", tz="Europe/Berlin"), frozenset({frozenset({"a"}), "b"}), [lambda x: x],
    ]
    print(*(digest(value).hex() for value in values), capture(cell["work"]).source_key)
"""


def test_digests_and_source_keys_are_equal_in_other_interpreters_and_kernels() -> None:
    first = run_python(SCRIPT, "100", CELL, hash_seed=1)
    second = run_python(SCRIPT, "200", CELL, hash_seed=2)
    assert first == second
    assert len(set(first.split())) == 12  # the function's digest is its source key
    assert digest({"a", "b", ("c", 1)}).hex() == first.split()[0]
    assert digest(run_cell(CELL, kernel=300)["work"]).hex() == first.split()[-1]

"""Retry policies and durations."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque.errors import InvalidInput, ResultTooLarge
from goque.model.durations import seconds
from goque.model.retries import Exponential, Fibonacci, Fixed, RetryPolicy, checked_retry, decide, without_child


@pytest.mark.parametrize(
    ("duration", "length"),
    [
        (90, 90.0),
        (0.5, 0.5),
        ("90", 90.0),
        ("500ms", 0.5),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1 h 30 min", 5400.0),
        ("2d", 172800.0),
        ("1.5 hours", 5400.0),
        ("-3", -3.0),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_a_duration_is_so_many_seconds(duration: Any, length: float) -> None:
    assert seconds(duration) == pytest.approx(length)


@pytest.mark.parametrize(
    "duration", ["", "m", "10 parsecs", "10m!", "1h-30m", None, True, [], float("nan"), float("inf"), "1e3q"]
)
def test_what_is_no_duration_is_refused_with_an_example(duration: Any) -> None:
    with pytest.raises(InvalidInput, match="1h30m"):
        seconds(duration)


def test_fixed_exponential_and_fibonacci_delays() -> None:
    assert [Fixed("2s")(attempt) for attempt in (1, 2, 3)] == [2, 2, 2]
    plain = Exponential(first=1, factor=2, limit="5m", jitter=False)
    assert [plain(attempt) for attempt in (1, 2, 3, 9, 10, 5000)] == [1, 2, 4, 256, 300, 300]
    assert [Fibonacci(first=2, limit=30)(attempt) for attempt in range(1, 9)] == [2, 2, 4, 6, 10, 16, 26, 30]


@given(st.integers(1, 10_000), st.floats(1, 1e9), st.floats(0, 1e6), st.floats(0, 1e6))
def test_jitter_stays_between_zero_and_the_limit(attempt: int, factor: float, first: float, limit: float) -> None:
    assert 0 <= Exponential(first=first, factor=factor, limit=limit)(attempt) <= limit


@pytest.mark.parametrize(
    "error",
    [
        NameError(),
        AttributeError(),
        TypeError(),
        ImportError(),
        SyntaxError(),
        NotImplementedError(),
        ResultTooLarge(""),
    ],
)
def test_errors_of_the_code_itself_are_not_retried_unless_asked_for(error: Exception) -> None:
    assert decide(None, 1, error) is None
    assert decide((Fixed(3), None, ()), 1, error) is None
    assert decide((Fixed(3), [type(error)], ()), 1, error) == 3


def test_other_errors_are_retried_by_the_policy() -> None:
    assert decide(([1, "2m"], None, ()), 2, ValueError()) == 120
    assert decide(([1, "2m"], None, ()), 3, ValueError()) is None
    assert decide((lambda attempt, error: attempt * 10, None, ()), 2, ValueError()) == 20
    assert decide((lambda attempt, error: None, None, ()), 2, ValueError()) is None
    assert decide((Fixed(1), [OSError], ()), 1, ValueError()) is None
    assert decide((Fixed(1), [OSError], [FileNotFoundError]), 1, FileNotFoundError()) is None
    assert decide((Fixed(1), [OSError], [FileNotFoundError]), 1, PermissionError()) == 1


@pytest.mark.parametrize(
    ("retry", "attempt", "delay"),
    [
        (Fixed("1m"), 7, 60.0),
        (Fibonacci(timedelta(seconds=2), "10s"), 3, 4.0),
        (Fibonacci(2, 10), 30, 10.0),
        (Exponential("1s", 3, "1h", jitter=False), 3, 9.0),
        ([1, "2m"], 2, 120.0),
        ([1, "2m"], 3, None),
    ],
)
def test_a_policy_without_code_decides_also_where_no_child_is_left(retry: Any, attempt: int, delay: Any) -> None:
    assert without_child(json.loads(json.dumps(RetryPolicy(retry).spelled())), attempt) == delay


def test_a_policy_with_code_leaves_that_to_the_default_and_so_does_nonsense() -> None:
    assert RetryPolicy(lambda attempt, error: 1).spelled() is None
    assert RetryPolicy().spelled() is None
    nonsense = (None, 3, {}, {"Fixed": {"delay": -1}}, {"Fixed": 3}, {"Other": {}}, ["soon"], [[]])
    for facts in (*nonsense, *({"retry": retry, "timeouts": []} for retry in nonsense)):
        delay = without_child(facts, 1, timed_out=True)
        assert delay is not None
        assert 0 <= delay <= 1


@pytest.mark.parametrize(
    ("retry_on", "give_up_on", "again"),
    [
        (None, (), True),
        ([ConnectionError], (), False),
        (OSError, (), True),
        ([ConnectionError, TimeoutError], (), True),
        (None, [TimeoutError], False),
        (None, Exception, False),
        (None, [ConnectionError], True),
    ],
)
def test_a_timeout_is_a_timeout_error_to_the_policy_and_a_crash_is_none(
    retry_on: Any, give_up_on: Any, again: bool
) -> None:
    for retry, delay in ((Fixed(7), 7.0), ([7], 7.0)):
        facts = json.loads(json.dumps(RetryPolicy(retry, retry_on, give_up_on).spelled()))
        assert without_child(facts, 1, timed_out=True) == (delay if again else None)
        assert without_child(facts, 1) == delay
    facts = json.loads(json.dumps(RetryPolicy(lambda attempt, error: 7, retry_on, give_up_on).spelled()))
    assert (without_child(facts, 1, timed_out=True) is not None) is again


@pytest.mark.parametrize("retry", [3, "often", Fixed, [1, "soon"], [-1]])
def test_what_is_no_policy_is_refused(retry: Any) -> None:
    with pytest.raises(InvalidInput):
        checked_retry(retry)


@pytest.mark.parametrize("make", [lambda: Fixed(-1), lambda: Exponential(factor=0.5), lambda: Fibonacci(first="never")])
def test_policies_refuse_values_that_make_no_sense(make: Any) -> None:
    with pytest.raises(InvalidInput):
        make()

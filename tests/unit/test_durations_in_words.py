"""Lengths of time as people read them. Not for: reading them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque.model.durations import in_words


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (0.00074, "0.74 ms"),
        (0.057, "57 ms"),
        (0.0994, "99 ms"),
        (0.0999, "0.1 s"),
        (3.0, "3 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (7_200, "2 h"),
        (3_599.6, "1 h"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_length_is_told_in_at_most_two_units(length: float, words: str) -> None:
    assert in_words(length) == words


@given(st.floats(0, 1e9, allow_nan=False))
def test_no_length_needs_an_exponent_or_many_digits(length: float) -> None:
    if length == 0 or length >= 1e-6:
        assert "e" not in in_words(length)
        assert len(in_words(length)) <= 12

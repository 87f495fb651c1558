"""Lists as PostgreSQL's binary arrays: what is sent, and what is kept of it."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from goque.postgres.adapters import Float8ListDumper, Int8ListDumper


@pytest.mark.parametrize(
    ("dumper", "code", "values"), [(Int8ListDumper, "q", [1, -2, 2**62]), (Float8ListDumper, "d", [0.5, -1e300, 2.0])]
)
def test_each_element_goes_with_its_size(dumper: type[Int8ListDumper], code: str, values: list[int]) -> None:
    sent = bytes(dumper(list).dump(values))
    assert struct.unpack("!iiIii", sent[:20])[3:] == (3, 1)
    assert struct.unpack("!" + f"i{code}" * 3, sent[20:]) == tuple(part for one in values for part in (8, one))


@pytest.mark.parametrize("dumper", [Int8ListDumper, Float8ListDumper])
def test_nothing_is_kept_of_lists_of_all_lengths(dumper: type[Int8ListDumper]) -> None:
    """A worker sends arrays of every length up to some thousand."""
    made = dumper(list)
    made.dump([1])
    tracemalloc.start()
    try:
        for length in range(1, 400):
            made.dump([1] * length)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000

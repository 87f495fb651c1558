"""What a user means by ``batch[...]`` is what a list of the same ids would give, in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goque.client.places import one_at, some_at
from goque.client.spans import Span, ids_of, spans_of

SPANS = st.sets(st.integers(0, 60), max_size=40).map(spans_of)


@given(SPANS, st.integers(-70, 70))
def test_a_place_is_that_of_a_list(spans: list[Span], place: int) -> None:
    ids = list(ids_of(spans))
    if -len(ids) <= place < len(ids):
        assert one_at(spans, place) == ids[place]
    else:
        with pytest.raises(IndexError, match=f"no place {place}"):
            one_at(spans, place)


@pytest.mark.parametrize("key", ["x", 1.5, [1.5], None, ["a"]])
def test_what_is_no_place_is_named(key: object) -> None:
    with pytest.raises(TypeError, match="by place, slice, list of places or mask, not by "):
        some_at(spans_of(range(3)), key)


@given(SPANS, st.slices(70))
def test_a_slice_is_that_of_a_list(spans: list[Span], key: slice) -> None:
    assert some_at(spans, key) == spans_of(list(ids_of(spans))[key])


@given(SPANS, st.data())
def test_a_list_of_places_and_a_mask_choose_the_same(spans: list[Span], data: st.DataObject) -> None:
    ids = list(ids_of(spans))
    mask = data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    wanted = spans_of(one for one, chosen in zip(ids, mask, strict=True) if chosen)
    assert some_at(spans, mask) == some_at(spans, np.array(mask, dtype=bool)) == wanted
    assert some_at(spans, np.flatnonzero(mask)) == wanted


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(IndexError, match="10 and not 2"):
        some_at([(1, 10)], [True, False])


def test_a_slice_of_a_billion_is_a_range() -> None:
    assert some_at([(5, 1_000_000_004)], slice(10, None)) == [(15, 1_000_000_004)]

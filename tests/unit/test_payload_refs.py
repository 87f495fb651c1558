"""Which objects are noted while something is pickled: those of the block, and nothing from before or after it."""

from __future__ import annotations

import pickle

from goque.payload.refs import Ref, collected, used


def test_what_is_pickled_outside_of_a_block_is_not_noted() -> None:
    with collected() as first:
        pickle.dumps(Ref("first", 1, "bytes"))
    pickle.dumps(Ref("between", 1, "bytes"))
    assert used() == set()
    with collected() as second:
        pickle.dumps(Ref("second", 1, "bytes"))
        with collected() as inner:
            pickle.dumps(Ref("inner", 1, "bytes"))
    assert (first, second, inner) == ({"first"}, {"second"}, {"inner"})

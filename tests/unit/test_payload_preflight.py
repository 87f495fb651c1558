"""What is refused or warned about before anything is stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from goque.errors import InvalidInput, NotSerializable, PayloadTooLarge
from goque.payload.functions import capture
from goque.payload.preflight import check
from tests.unit.payload_cells import run_cell, run_python

work = run_cell("""
    def work(x: int, *, scale: int = 1) -> int:
        return x * scale
""")["work"]


def test_a_call_that_fits_is_accepted_in_silence() -> None:
    assert check(capture(work), (1,), {"scale": 2}) == []
    assert check(capture(work)) == []


@pytest.mark.parametrize("func", [print, int, dict, str.upper, max, type])
def test_callables_without_a_signature_are_not_judged(func: Any) -> None:
    assert check(capture(func), ("x",), {}) == []


@pytest.mark.parametrize("args", [(), (1, 2)])
def test_a_first_item_that_does_not_fit_is_refused_with_the_signature(args: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"does not fit work\(x.*scale.*starmap"):
        check(capture(work), args, {})


def test_an_option_given_as_an_argument_is_explained() -> None:
    options = {"priority", "timeout"}
    with pytest.raises(InvalidInput, match=r"q\.options\(priority=\.\.\.\)"):
        check(capture(work), (1,), {"priority": 5}, option_names=options)
    with pytest.raises(InvalidInput, match="Did you mean scale"):
        check(capture(work), (1,), {"scal": 5}, option_names=options)
    with pytest.raises(InvalidInput, match=r"q\.options\(timeout=\.\.\.\)"):
        check(capture(work), (1,), {"timeout": 5})


def test_an_option_name_that_the_function_takes_is_its_own() -> None:
    prioritised = run_cell("def prioritised(x, priority): return x + priority")["prioritised"]
    assert check(capture(prioritised), (1,), {"priority": 5}, option_names={"priority"}) == []


class LoadsBadly:
    def __init__(self, x: int, y: int) -> None:
        self.sum = x + y

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (1,)


def test_what_pickles_but_does_not_load_is_refused() -> None:
    broken = LoadsBadly(1, 2)
    with pytest.raises(NotSerializable, match="first item was pickled but does not load"):
        check(capture(work), (broken,), {})

    def uses(x: int) -> int:
        return x + broken.sum

    with pytest.raises(NotSerializable, match="uses was pickled but does not load"):
        check(capture(uses), (1,), {})


def test_a_first_item_that_cannot_be_pickled_is_refused() -> None:
    with pytest.raises(NotSerializable, match="argument 1 cannot be pickled: it is a generator"):
        check(capture(work), ((i for i in range(2)),), {})


def test_a_heavy_closure_warns_naming_variable_and_remedy() -> None:
    cell = run_cell("""
        import numpy
        table = numpy.zeros(100_000)
        def work(x): return table[x]
    """)
    (warning,) = check(capture(cell["work"]), (1,), {})
    assert "__main__.work carries 781" in warning
    assert "table (781" in warning
    assert "kwargs=" in warning


def test_a_closure_over_the_limit_is_refused() -> None:
    captured = dataclasses.replace(capture(work), closure_size=17 * 1024 * 1024, captured={"df": 16_900_000})
    with pytest.raises(PayloadTooLarge, match=r"most of it in df \(16\.12 MiB\).*kwargs="):
        check(captured)


def test_a_module_beside_the_notebook_is_named_until_it_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def look(x):\n    return x\n")
    script = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import beside
        from goque.payload.codec import ship
        from goque.payload.functions import capture
        from goque.payload.preflight import check
        print(check(capture(beside.look), (1,), {}))
        ship(beside)
        print(check(capture(beside.look), (1,), {}))
    """
    before, after = run_python(script, str(tmp_path)).splitlines()
    assert "beside" in before
    assert str(tmp_path) in before
    assert "q.ship(beside)" in before
    assert after == "[]"

"""A function that has not changed is captured once; whatever could have changed it has it captured anew."""

from __future__ import annotations

import types
from typing import Any

import pytest

from goque.payload.functions import KEPT, capture
from tests.unit.payload_cells import run_cell

CELL = """
    import math
    from math import sqrt
    number, words, limits = 3, "three", (1, 2)
    def helper(x): return sqrt(x) + number
    def work(x, y=2, *, z=3):
        return helper(x), math.pi, words, limits, int(y), z, work
"""


def cell() -> dict[str, Any]:
    """A notebook whose function reads what cannot change in place."""
    namespace = run_cell(CELL)
    capture(namespace["work"])  # the first capture of a process may import something
    return namespace


def test_a_function_that_has_not_changed_is_captured_once() -> None:
    namespace = cell()
    assert capture(namespace["work"]) is capture(namespace["work"])


CHANGES = {
    "a number": "number = 4",
    "a text": "words = 'four'",
    "a tuple": "limits = (1, 3)",
    "a helper": "def helper(x): return x",
    "what a helper reads": "from math import cbrt as sqrt",
    "a default": "work.__defaults__ = (3,)",
    "a keyword's default": "work.__kwdefaults__['z'] = 4",
    "code, as reloading puts it in": "work.__code__ = (lambda x, y=2, *, z=3: 1).__code__",
    "an attribute": "work.unit = 'm'",
    "a name that is gone": "del words",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_a_function_has_it_captured_anew(change: str) -> None:
    namespace = cell()
    before = capture(namespace["work"])
    run_cell(change, namespace)
    after = capture(namespace["work"])
    assert after.hash != before.hash
    assert capture(namespace["work"]).hash == after.hash


CHANGING = {
    "a list": ("values = [1]", "values.append(2)"),
    "a list in a tuple": ("values = ([1],)", "values[0].append(2)"),
    "an instance": ("class Box: pass\nvalues = Box()", "values.size = 2"),
    "a class of the notebook": ("class values: pass", "values.size = 2"),
    "an attribute of a function": ("def values(): pass\nvalues.sizes = [1]", "values.sizes.append(2)"),
}


@pytest.mark.parametrize(("made", "change"), CHANGING.values(), ids=CHANGING)
def test_what_changes_in_place_is_looked_at_each_time(made: str, change: str) -> None:
    namespace = run_cell(f"{made}\ndef work(x): return values")
    before = [capture(namespace["work"]).hash for _ in range(2)]
    run_cell(change, namespace)
    assert before[0] == before[1] != capture(namespace["work"]).hash


def test_what_closures_hold_counts_as_well() -> None:
    namespace = run_cell("""
        def made(number):
            def work(x): return x + number
            def change(other):
                nonlocal number
                number = other
            return work, change
        work, change = made(1)
    """)
    before = [capture(namespace["work"]).hash for _ in range(2)]
    namespace["change"](2)
    assert before[0] == before[1] != capture(namespace["work"]).hash


def test_an_import_since_then_may_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace = cell()
    before = capture(namespace["work"])
    monkeypatch.setitem(__import__("sys").modules, "imported_meanwhile", types.ModuleType("imported_meanwhile"))
    after = capture(namespace["work"])
    assert after is not before
    assert after == before


def test_few_functions_are_remembered() -> None:
    namespaces = [cell() for _ in range(KEPT + 1)]
    first = capture(namespaces[0]["work"])
    assert first is capture(namespaces[0]["work"])
    for namespace in namespaces[1:]:
        capture(namespace["work"])
    assert capture(namespaces[0]["work"]) is not first

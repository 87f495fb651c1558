"""The function that the demo maps. Not for: the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from goque.app.survey import survey

SOURCE = """\
class Shop:
    def simple(self):
        return 1

    async def busy(self, items):
        for item in items:
            if item and item.ready or item.late:
                while item.open:
                    try:
                        item.close()
                    except OSError:
                        pass
                    except ValueError:
                        pass
        return [x for x in items if x] if items else None


def outer():
    def inner(x):
        match x:
            case 1:
                return 1
            case _:
                return 2
    return inner
"""


def measured(tmp_path: Path, source: str | bytes) -> dict[str, object]:
    path = tmp_path / "module.py"
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    return survey(str(path))


def test_a_file_is_measured_as_by_hand(tmp_path: Path) -> None:
    found = measured(tmp_path, SOURCE)
    assert (found["lines"], found["functions"], found["classes"], found["depth"]) == (SOURCE.count("\n"), 4, 1, 6)
    # busy: 1, for, if, and, or, while, two excepts, the comprehension and its if, the conditional expression
    assert found["complex"] == [
        {"name": "Shop.busy", "complexity": 11, "line": 5},
        {"name": "outer.inner", "complexity": 3, "line": 19},
        {"name": "outer", "complexity": 1, "line": 18},
        {"name": "Shop.simple", "complexity": 1, "line": 2},
    ]


def test_a_file_that_does_not_parse_fails(tmp_path: Path) -> None:
    with pytest.raises(SyntaxError):
        measured(tmp_path, "def :\n")


def test_a_file_that_does_not_decode_fails(tmp_path: Path) -> None:
    with pytest.raises((SyntaxError, UnicodeDecodeError)):
        measured(tmp_path, b"# -*- coding: utf-8 -*-\nx = '\xff\xfe'\n" * 100)

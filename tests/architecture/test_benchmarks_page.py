"""The page of figures and its pictures say what the measured data say, and leave no question out."""

from __future__ import annotations

import copy
import json
import re

from benchmarks.__main__ import QUESTIONS
from benchmarks.page import DATA, DOCS, PAGE, merge, pictures, written

DATA_NOW = json.loads(DATA.read_text())


def test_the_page_says_what_was_measured() -> None:
    assert written(PAGE.read_text(), DATA_NOW) == PAGE.read_text(), "run: python -m benchmarks.page"


def test_the_pictures_show_what_was_measured() -> None:
    drawn = pictures(DATA_NOW)
    assert {name: (DOCS / "pictures" / name).read_text() for name in drawn} == drawn
    assert [name for name in drawn if name not in PAGE.read_text()] == []


def test_a_figure_that_changes_changes_the_page_and_its_picture() -> None:
    changed = copy.deepcopy(DATA_NOW)
    changed["enqueue"]["figures"]["goque map"]["median"] = 123_456.0
    assert "123,456 /s" in written(PAGE.read_text(), changed)
    assert ">123,456<" in pictures(changed)["benchmark-enqueue.svg"]


def test_every_question_is_on_the_page() -> None:
    names = {module.__name__.rpartition(".")[2] for module in QUESTIONS}
    assert set(re.findall(r"<!-- (?:figures: )?(\w+) -->", PAGE.read_text())) >= names
    assert set(DATA_NOW) <= names


def test_a_run_takes_the_place_of_the_one_before_for_its_questions_alone() -> None:
    data = copy.deepcopy(DATA_NOW)
    run = {"conditions": {"commit": "new"}, "questions": {"idle": {"question": "?", "figures": {}, "goals": []}}}
    merge(data, run)
    assert data["idle"] == {"question": "?", "figures": {}, "goals": [], "conditions": {"commit": "new"}}
    assert {name: one for name, one in data.items() if name != "idle"} == {
        name: one for name, one in DATA_NOW.items() if name != "idle"
    }


def test_shares_are_told_beside_the_whole_of_their_question() -> None:
    figures = {
        name: {"median": value} for name, value in {"drain: load": 1.0, "drain: run": 3.0, "results: run": 5}.items()
    }
    page = written("<!-- shares -->\n<!-- end -->", {"shares": {"figures": figures}})
    assert "| part | drain | results |" in page
    assert "| load | 1.00 (25 %) |  |" in page
    assert "| run | 3.00 (75 %) | 5.00 (100 %) |" in page

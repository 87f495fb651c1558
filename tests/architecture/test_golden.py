"""The SQL of every query is the one that was looked at last. After a wanted change: ``python -m tests.golden``."""

from __future__ import annotations

from typing import Any

import pytest

from goque.sql import Template
from tests.golden import GOLDEN, grants, package_templates, rendered

TEMPLATES = package_templates()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_the_text_of_a_query_is_the_golden_one(template: Template[Any]) -> None:
    path = GOLDEN / f"{template.name}.sql"
    assert path.is_file(), "new query: run python -m tests.golden and look at its file"
    assert rendered(template) == path.read_text()


def test_there_is_no_golden_text_of_a_query_that_is_gone() -> None:
    assert {path.stem for path in GOLDEN.glob("*.sql")} == {template.name for template in TEMPLATES}


def test_no_two_queries_have_one_name() -> None:
    assert len({template.name for template in TEMPLATES}) == len(TEMPLATES) > 50


def test_roles_may_do_what_was_looked_at_last() -> None:
    assert grants() == (GOLDEN / "roles.txt").read_text(), "run python -m tests.golden and look at who may do what now"

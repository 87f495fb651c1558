"""Type checkers see wrong columns and wrong values, and leave right ones alone: mypy run over snippets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DECLARATIONS = """
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_type

from goque.sql import *

class Status(StrEnum):
    NEW = "new"

class Colour(StrEnum):
    RED = "red"

class TaskTable(Table):
    id = Column(BIGINT)
    worker_id = Column(BIGINT, nullable=True)
    status = Column(enum_text(Status))
    type = Column(TEXT)
    at = Column(TIMESTAMPTZ)
    paused = Column(BOOLEAN)
    run_s = Column(DOUBLE, nullable=True)

task = TaskTable("task")
"""

GOOD = """
query = select(task.id, task.worker_id, task.status, count(), avg(task.run_s)).from_(task)
assert_type(query, Select[tuple[int, int | None, Status, int, float | None]])
assert_type(statement_of(query).read((1, None, "new", 1, None)), tuple[int, int | None, Status, int, float | None])
query.where(task.id == task.worker_id, task.worker_id == task.id, task.worker_id == 5, task.run_s > 5)
query.where(task.id == Bind("x", BIGINT), task.worker_id == Bind("x", BIGINT), task.status == Status.NEW)
query.where(task.paused, ~task.paused, (task.id == 1) | task.paused, task.status.in_([Status.NEW]))
query.where(task.at > now() - seconds(5), task.at + timedelta(1) > task.at)
assert_type(task.at - task.at, Expression[timedelta])
assert_type(subquery(select(task.id).from_(task)), Expression[int | None])
assert_type(update(task).set(task.id, 1).returning(task.id, task.type), Query[tuple[int, str]])

@template(read=scalar)
def one() -> Select[tuple[int]]:
    return select(task.id).from_(task)

assert_type(one, Template[int])
assert_type(one.bind(), Statement[int])
"""

# Each line is wrong, and mypy must say so at that line.
BAD = """
task.statsu
select(task.id).where(task.id == "x")
select(task.id).where(task.status == 5)
select(task.id).where(task.status == Colour.RED)
select(task.id).where(task.id)
select(task.id).where(task.id < "x")
select(task.id).where(task.id == task.type)
select("id")
select(task.id).limit("5")
update(task).set(task.id, "x")
update(task).set(task.id, None)
update(task).set(task.id, task.worker_id)
update(task).set(task.status, Colour.RED)
task.id.to("x")
task.id + "x"
task.at - 5
task.paused & task.type
lit("text")
"""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """Mypy's errors in each snippet by line, counted from 1 after its first line break."""
    folder = tmp_path_factory.mktemp("snippets")
    for name, snippet in (("good", GOOD), ("bad", BAD)):
        (folder / f"{name}.py").write_text(DECLARATIONS + snippet)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent"]
    paths = [str(folder / "good.py"), str(folder / "bad.py")]
    run = subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    offset = DECLARATIONS.count("\n") + 1
    found: dict[str, dict[int, str]] = {"good": {}, "bad": {}}
    for match in re.finditer(r"^.*(good|bad)\.py:(\d+): error: (.*)$", run.stdout, re.MULTILINE):
        found[match[1]][int(match[2]) - offset] = match[3]
    return found


def test_right_queries_have_no_findings_and_the_right_row_types(findings: dict[str, dict[int, str]]) -> None:
    assert findings["good"] == {}


def test_each_wrong_line_has_a_finding(findings: dict[str, dict[int, str]]) -> None:
    found = findings["bad"]
    lines = BAD.strip().split("\n")
    missed = [line for number, line in enumerate(lines, 1) if number not in found]
    assert missed == []
    assert set(found) <= set(range(1, len(lines) + 1))

"""States and moves are told once, and database, counters, documents and code agree on them."""

from __future__ import annotations

import re

from goque.model.states import FINAL, MOVES, RunOutcome, Status
from goque.queries.tally import COUNTERS
from tests.architecture.sources import ROOT

SQL = (ROOT / "migrations" / "0001_queue.sql").read_text()
DOCUMENT = (ROOT / "docs" / "states.md").read_text()


def checked(table: str, column: str) -> set[str]:
    """The values that a CHECK constraint allows."""
    body = SQL.split(f"create table {{schema}}.{table} (")[1].split("\n)")[0]
    found = re.search(rf"check \({column} in \(([^)]*)\)\)", body)
    assert found is not None
    return set(re.findall(r"'(\w+)'", found[1]))


def test_the_database_knows_the_same_states() -> None:
    assert checked("task", "status") == set(Status)


def test_the_database_knows_the_same_outcomes() -> None:
    assert checked("run", "outcome") == set(RunOutcome)
    assert checked("run", "status") <= set(Status)


def test_each_state_has_a_counter_in_the_database() -> None:
    body = SQL.split("create table {schema}.tally (")[1].split("\n)")[0]
    columns = re.findall(r"^\s+(\w+)\s+bigint", body, re.MULTILINE)
    assert columns == ["lane_id", *(column.name for column in COUNTERS.values())]
    assert set(COUNTERS) == set(Status)


def test_the_table_of_moves_in_the_documents_is_true() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+?) \| (.+?) \|$", DOCUMENT, re.MULTILINE)
    assert rows == [tuple(map(str, move)) for move in MOVES]


def test_the_table_of_states_in_the_documents_is_true() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (yes|no) \|$", DOCUMENT, re.MULTILINE)
    assert {name: final == "yes" for name, final in rows} == {status: status in FINAL for status in Status}


def test_every_state_can_be_reached_and_left() -> None:
    assert {move.after for move in MOVES} >= set(Status) - {Status.PENDING}
    assert {move.before for move in MOVES} == set(Status)


def test_only_people_move_what_is_final() -> None:
    assert {move.by for move in MOVES if move.before in FINAL} == {"person"}


def test_no_move_is_told_twice() -> None:
    assert len(set(MOVES)) == len(MOVES)

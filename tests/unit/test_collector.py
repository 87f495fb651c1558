"""Outcomes that a look brings: those of plain results by themselves, the others read once more."""

from __future__ import annotations

from typing import Any

from goque.client.collector import Collector
from goque.model.states import Status
from goque.queries.outcomes import EndedRow, OutcomeRow, done
from goque.sql import Statement


def failed(task: int, status: Status = Status.ATTEMPTS_LEFT) -> OutcomeRow:
    return OutcomeRow(
        task, status, task, 3, None, None, None, "ValueError", "no", None, None, "error", 3, "here", worker=7
    )


class Answers:
    """A database that gives these rows, and remembers what it was asked for."""

    def __init__(self, ended: list[EndedRow], outcomes: list[OutcomeRow]) -> None:
        self._rows: dict[str, list[Any]] = {"outcomes.ended_within": ended, "outcomes.outcomes_of": outcomes}
        self.asked: list[tuple[str, object]] = []

    def all(self, statement: Statement[Any]) -> list[Any]:
        self.asked.append((statement.name, statement.values.get("ids")))
        return self._rows[statement.name]


def test_only_what_is_not_plainly_done_is_read_once_more() -> None:
    plain = EndedRow(1, 1, 3, b"one")
    database = Answers([plain], [])
    collector = Collector(database, [(1, 3)])  # type: ignore[arg-type]
    assert collector.look() == [done(plain)]
    assert database.asked == [("outcomes.ended_within", None)]
    database = Answers([EndedRow(1, None, None, None), EndedRow(2, 1, 3, b"two")], [failed(1)])
    collector = Collector(database, [(1, 3)])  # type: ignore[arg-type]
    assert [(row.id, row.status, row.error_type) for row in collector.look()] == [
        (1, Status.ATTEMPTS_LEFT, "ValueError"),
        (2, Status.DONE, None),
    ]
    assert database.asked[1] == ("outcomes.outcomes_of", [1])
    assert collector.left == [(3, 3)]


def test_what_was_retried_between_the_two_looks_is_still_waited_for() -> None:
    database = Answers([EndedRow(1, None, None, None)], [failed(1, Status.NEW)])
    collector = Collector(database, [(1, 1)])  # type: ignore[arg-type]
    assert collector.look() == []
    assert collector.outstanding == 1


def test_the_outcome_of_a_plain_result_has_no_parts_but_its_own() -> None:
    row = done(EndedRow(5, 2, 4, b"four"))
    assert row[:6] == (5, Status.DONE, 5, 2, 4, b"four")
    assert len(row) == len(OutcomeRow._fields)
    assert set(row[6:]) == {None}

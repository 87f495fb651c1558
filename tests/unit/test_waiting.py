"""A wait ends at its timeout, also where outcomes keep coming."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from goque.client import waiting


class Row(NamedTuple):
    id: int


class Trickle:
    """Outcomes of which each look finds one more, or as many as a look can find."""

    size = 1

    def __init__(self, database: Any, spans: Any) -> None:
        self.outstanding = 5_000
        self.left = [(1, 5_000)]

    def look(self) -> list[Row]:
        found = min(self.size, self.outstanding)
        self.outstanding -= found
        return [Row(number) for number in range(found)]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Row]:
    monkeypatch.setattr(waiting, "Collector", Trickle)
    return waiting.Waiting(None, listen=False).outcomes([(1, 5_000)], tuple, timeout=0)  # type: ignore[arg-type,return-value]


def test_a_timeout_holds_while_outcomes_trickle_in(rows: Iterator[Row]) -> None:
    next(rows)
    with pytest.raises(TimeoutError, match="4,999 tasks"):
        next(rows)


def test_what_has_ended_by_the_timeout_is_given_whole(rows: Iterator[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trickle, "size", waiting.ROWS)
    assert len(list(rows)) == 5_000

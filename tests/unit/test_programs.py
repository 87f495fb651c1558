"""The lanes that a worker has met: read once, and kept as long as something of them is in its hands."""

from __future__ import annotations

import pytest

from goque.payload.envelope import Purpose, context_of, seal
from goque.payload.keys import KeyRing
from goque.queries.programs import LaneRow
from goque.worker import programs
from goque.worker.programs import Programs
from goque.worker.shelf import Shelf


def row(lane: int) -> LaneRow:
    code = seal(None, Purpose.FUNCTION, context_of("hash"), b"code")
    row = dict.fromkeys(LaneRow._fields)
    return LaneRow(**row | {"id": lane, "digest": "digest", "type": "type", "function_hash": "hash", "code": code})  # type: ignore[arg-type]


class Known:
    """Programs over lanes that are all there, and what was read of them."""

    def __init__(self) -> None:
        self.read: list[int] = []
        shelf = Shelf(KeyRing.empty(), lambda _: [])
        self.programs = Programs(
            KeyRing.empty(), self.load, shelf=shelf, send_for=lambda _, digests: shelf.fetch(digests), result_limit=1
        )

    def load(self, lanes: list[int]) -> list[LaneRow]:
        self.read += lanes
        return [row(lane) for lane in lanes]


def test_a_lane_is_read_once() -> None:
    known = Known()
    known.programs.learn([2, 1], held=[])
    known.programs.learn([1, 2, 3], held=[])
    assert known.read == [1, 2, 3]


def test_a_lane_that_something_is_held_of_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MOST_LANES", 2)
    known = Known()
    known.programs.learn([1, 2, 3], held=[])
    known.programs.learn([4], held=[2, 4])
    assert known.programs[2].program is not None
    assert known.programs[4].program is not None
    assert known.programs.find(1) is None

"""Workers take many tasks of a lane in turn: none passes over what another is just taking. The claimer's side of it:
``test_claimer_outages``."""

from __future__ import annotations

from goque.model.eligibility import EVERY_QUEUE
from goque.queries import claim
from goque.queries.claim import FEW, Claimed
from tests.rig import Rig, Worker


def in_turn(worker: Worker, lane: int, want: int) -> tuple[list[int], list[Claimed]]:
    """The lanes in which it was this worker's turn, and what it took."""
    worker._number += 1
    asked = claim.claim(worker.id, worker._number, [(lane, 0, want)], EVERY_QUEUE)
    turns, taken = worker.connection.pipeline([claim.take_turns(worker.id, [lane]), asked])
    return turns, taken


def test_while_another_takes_many_nobody_waits_and_only_a_few_are_to_be_had(rig: Rig, lane: int) -> None:
    ids = rig.tasks(lane, 4 * FEW)
    one, odd, two = rig.worker(), rig.worker(), rig.worker()
    with one.connection.transaction() as taking:
        assert taking.all(claim.take_turns(one.id, [lane])) == [lane]
        taken = taking.all(claim.claim(one.id, 1, [(lane, 0, FEW + 1)], EVERY_QUEUE))
        assert [task.id for task in taken] == ids[: FEW + 1]
        assert in_turn(two, lane, FEW + 1) == ([], [])
        assert [task.id for task in two.claim(lane, 10)] == ids[FEW + 1 : FEW + 11]
        turns, taken = in_turn(odd, lane, FEW + 1)
        assert turns == [lane], "two at a time"
        assert [task.id for task in taken] == ids[FEW + 11 : 2 * FEW + 12]
    turns, taken = in_turn(two, lane, 4 * FEW)
    assert turns == [lane]
    assert [task.id for task in taken] == ids[2 * FEW + 12 :]


def test_lanes_have_turns_of_their_own(rig: Rig, lane: int) -> None:
    other = rig.lane("other")
    rig.tasks(other, 2 * FEW)
    one, _, two = rig.worker(), rig.worker(), rig.worker()
    with one.connection.transaction() as taking:
        taking.all(claim.take_turns(one.id, [lane]))
        turns, found = in_turn(two, other, 2 * FEW)
    assert turns == [other]
    assert len(found) == 2 * FEW

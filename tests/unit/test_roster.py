"""How much of which lane a worker asks for, by what it has measured. Limits of types: ``test_registry``."""

from __future__ import annotations

from goque.queries.claim import Listed
from goque.worker import roster as rosters
from goque.worker.roster import Ask, Roster


def lane(number: int, function: int) -> Listed:
    return Listed(number, "q", 0, function=function)


def wanted(roster: Roster, of: int, free: int = 2) -> int:
    return {ask.lane: ask.want for ask in roster.asks([], free)}.get(of, 0)


def test_the_first_claim_of_an_unknown_function_takes_free_slots_only() -> None:
    roster = Roster(2)
    roster.refresh([lane(1, 7)])
    assert wanted(roster, 1) == 2
    roster.measured(1, [0.001])
    assert wanted(roster, 1) > 100


def test_what_has_ended_and_waits_to_be_written_takes_no_room_from_what_is_claimed() -> None:
    roster = Roster(2)
    roster.refresh([lane(1, 7)])
    roster.measured(1, [0.00001])
    full = [(1, 2 * rosters.ROWS_PER_CLAIM)]
    assert roster.asks(full, 0) == []
    assert [ask.want for ask in roster.asks(full, 0, over=700)] == [700]


def test_another_batch_of_a_function_begins_with_what_is_known_of_it() -> None:
    roster = Roster(2)
    roster.refresh([lane(1, 7)])
    roster.measured(1, [0.001])
    roster.refresh([lane(2, 7)])
    assert wanted(roster, 2) > 100
    roster.refresh([lane(3, 8)])
    assert wanted(roster, 3) == 2


def test_what_is_measured_in_a_lane_of_its_own_counts_more() -> None:
    roster = Roster(2)
    roster.refresh([lane(1, 7), lane(2, 7)])
    roster.measured(1, [0.001])
    roster.takes_longer(2, 10.0)
    assert roster.pace(2) == 10.0
    assert roster.pace(1) == 0.001


def test_lanes_are_forgotten_by_and_by(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(rosters, "MOST_KNOWN", 3)
    roster = Roster(1)
    for number in range(1, 6):
        roster.refresh([lane(number, number)])
        roster.measured(number, [0.5])
    assert roster.pace(1) is None
    assert roster.pace(5) == 0.5


def test_where_a_look_found_nothing_the_lane_that_was_emptied_last_is_a_guess_and_only_one() -> None:
    roster = Roster(slots=2)
    roster.refresh([lane(1, 7), lane(2, 7)])
    roster.took([Ask(1, 0, 2), Ask(2, 0, 2)], {2: (1, 40)})
    assert not roster.expect(lambda _: True)
    assert roster.empty, "it was emptied a moment ago, and nobody has looked since"
    roster.refresh([])
    roster.expect(lambda _: True)
    assert [ask.lane for ask in roster.asks([], 2)] == [2]
    roster.took([Ask(2, 0, 2)], {})
    roster.refresh([])
    roster.expect(lambda _: True)
    assert roster.empty, "the guess was wrong, so it is not made again"


def test_a_lane_that_does_not_suit_any_more_or_was_dropped_is_no_guess() -> None:
    for suits, dropped in ((False, False), (True, True)):
        roster = Roster(slots=2)
        roster.refresh([lane(1, 7)])
        roster.took([Ask(1, 0, 2)], {1: (1, 40)})
        roster.refresh([])
        if dropped:
            roster.drop(1)
        roster.expect(lambda _, suits=suits: suits)  # type: ignore[misc]
        assert roster.empty


def test_a_look_that_begins_at_a_lane_leaves_what_is_known_up_to_there() -> None:
    roster = Roster(slots=2)
    roster.refresh([lane(1, 7), lane(2, 7), lane(3, 7)])
    roster.took([Ask(1, 0, 1), Ask(2, 0, 1)], {1: (1, 40), 2: (1, 50)})
    roster.refresh([lane(4, 7)], since=2)
    assert {ask.lane: ask.mark for ask in roster.asks([], 8)} == {1: 40, 2: 50, 4: 0}
    roster.refresh([lane(4, 7)], since=4, suits=lambda one: one.lane != 1)
    assert [ask.lane for ask in roster.asks([], 8)] == [2, 4]
    roster.refresh([lane(2, 7)])
    assert roster.asks([], 8) == [Ask(2, 0, 8)], "all were looked at, and rows may lie below marks"


def test_it_is_remembered_how_far_a_lane_was_claimed_also_when_it_is_empty() -> None:
    roster = Roster(slots=2)
    roster.refresh([lane(1, 7)])
    roster.took([Ask(1, 0, 2)], {1: (2, 40)})
    roster.took([Ask(1, 40, 2)], {})
    roster.took([Ask(1, 0, 2)], {})
    roster.refresh([])
    assert roster.empty
    assert (roster.reached(1), roster.reached(2)) == (40, 0)

"""Lanes get equal shares of slots' time: two slots and a desk, in simulated time, claim as a worker's claimer does."""

from __future__ import annotations

from collections import Counter, deque

import pytest

from goque.queries.claim import Listed
from goque.worker.roster import PATIENCE_S, Roster
from goque.worker.shares import Shares

Lane = tuple[str, int, float]
"""Queue, priority, seconds of a task."""
ROUND_TRIP = 0.002


def serve(lanes: dict[int, Lane], seconds: float, slots: int = 2, late: dict[int, float] | None = None) -> Counter[int]:
    """Seconds of slots that each lane had; all have endless work, those of ``late`` from that second on."""
    roster, had = Roster(slots), Counter[int]()
    ready: deque[tuple[int, float]] = deque()  # of which lane, and since when
    ends: list[tuple[float, int] | None] = [None] * slots
    now = looked = 0.0
    known = 0
    while now < seconds:
        for slot, end in enumerate(ends):
            if end is not None and end[0] <= now:
                roster.measured(end[1], [lanes[end[1]][2]])
                had[end[1]] += lanes[end[1]][2]  # type: ignore[assignment]
                ends[slot] = None
        present = [number for number in lanes if now >= (late or {}).get(number, 0.0)]
        if now - looked >= 1.0 or len(present) != known:
            looked, known = now, len(present)
            roster.refresh([Listed(one, *lanes[one][:2], function=one) for one in present])
        ready = deque(one for one in ready if one[1] >= now - PATIENCE_S)
        held = Counter([lane for lane, _ in ready] + [end[1] for end in ends if end])
        asks = roster.asks(list(held.items()), max(0, slots - held.total()))
        wanted = sum(ask.want for ask in asks)
        if (not ready and held.total() < slots) or wanted >= max(8, held.total() // 2):
            now += ROUND_TRIP
            ready.extend((ask.lane, now) for ask in asks for _ in range(ask.want))
        for slot, end in enumerate(ends):
            if end is None and ready:
                lane, _ = ready.popleft()
                ends[slot] = now + lanes[lane][2], lane
        upcoming = [end[0] for end in ends if end]
        now = max(now, min([*upcoming, now + 0.2]))
    return had


@pytest.mark.parametrize("short", [0.001, 0.05])
def test_a_map_of_short_tasks_has_its_share_of_time_beside_lanes_whose_tasks_take_long(short: float) -> None:
    had = serve({1: ("q", 0, short)} | dict.fromkeys(range(2, 10), ("q", 0, 3.0)), 135.0)
    assert had[1] == pytest.approx(2 * 135 / 9, rel=0.2), had


def test_long_tasks_have_theirs_beside_an_endless_map_of_short_ones() -> None:
    had = serve({1: ("q", 0, 0.001), 2: ("q", 0, 3.0)}, 120.0)
    assert had[2] == pytest.approx(120, rel=0.2), had


def test_queues_share_as_lanes_do_and_the_highest_priority_of_each_goes_first() -> None:
    lanes: dict[int, Lane] = {1: ("long", 0, 3.0), 2: ("short", 0, 0.01), 3: ("short", 1, 0.01), 4: ("long", 0, 3.0)}
    had = serve(lanes, 200.0)
    assert had[3] == pytest.approx(200, rel=0.2), had
    assert had[1] == pytest.approx(had[4], rel=0.2), had
    assert had[2] < 1.0, had


def test_who_comes_late_has_no_more_than_the_others_from_then_on() -> None:
    lanes: dict[int, Lane] = {1: ("q", 0, 0.01), 2: ("q", 0, 0.5)}
    assert serve(lanes, 200.0, late={2: 100.0})[1] == pytest.approx(200 + 100, rel=0.1)


def test_a_newcomer_is_next_even_where_an_endless_map_keeps_all_slots_busy() -> None:
    assert serve({1: ("q", 0, 0.001), 2: ("q", 0, 0.5)}, 12.0, late={2: 10.0})[2] >= 1.0


def test_as_many_are_remembered_as_is_said() -> None:
    shares = Shares(3)
    shares.admit("q", range(2, 10))
    shares.charge(9, 1.0)
    shares.charge(2, 1.0)
    assert [shares.used(one) for one in (2, 9)] == [0.0, 1.0]

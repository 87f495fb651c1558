"""Which lanes have work for this worker, and how much to ask of each. Not for: asking (``worker.claimer``).

A worker serves its queues and, within a queue, the lanes of the highest priority in equal shares of its slots' time, so
that a map of ten items ends while one of a million runs, and a map of short tasks beside tasks that take long. It holds
no more than about ``HORIZON`` seconds of work, measured by how long tasks of each lane took, so that nothing waits here
while another worker is idle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import NamedTuple, TypeVar

from goque.queries.claim import MOST_LANES, Listed
from goque.worker.shares import Shares

K = TypeVar("K")
N = TypeVar("N", int, str)
V = TypeVar("V")

HORIZON = 0.4
"""Seconds of work a worker holds per slot."""
PATIENCE_S = 0.8
"""What was claimed and has not begun for so long was claimed by mistake and goes back, for workers that are idle."""
LANES_PER_CLAIM = 8
ROWS_PER_CLAIM = 1024
MOST_KNOWN = 2 * MOST_LANES
"""Lanes, and functions, that are remembered: a worker meets ever new ones, and lives for months."""
FASTEST = 4e-5
"""Seconds; a task is never taken to be shorter than what handling it costs."""


class Ask(NamedTuple):
    """What to claim of one lane: ``want`` rows from ``mark`` on."""

    lane: int
    mark: int
    want: int


@dataclass(slots=True)
class Pace:
    """How long tasks of a lane run, as a moving average in seconds; None before the first has ended."""

    seconds: float | None = None

    def add(self, runs: Sequence[float]) -> None:
        """Take measured runs into account; a slow one counts at once, quick ones by and by."""
        longest = max(runs)
        if self.seconds is None or longest > 4 * self.seconds:
            self.seconds = longest
        else:
            self.seconds += (1 - 0.9 ** len(runs)) * (sum(runs) / len(runs) - self.seconds)


@dataclass(slots=True)
class Roster:
    """The lanes that had work when last looked, with a low-water mark and a pace for each."""

    slots: int
    limits: Mapping[str, int] = field(default_factory=dict)
    """The most tasks that may be held of a named type. They are run ahead of none: what is held may be running."""
    _codes: dict[int, int | str | None] = field(default_factory=dict)
    """What the tasks of a lane run: the id of a function, or a named type."""
    _listed: list[Listed] = field(default_factory=list)
    _marks: dict[int, int] = field(default_factory=dict)
    _reached: dict[int, int] = field(default_factory=dict)
    """Where the last claim that brought something began, also of lanes that were emptied: looks begin there."""
    _paces: dict[int, Pace] = field(default_factory=dict)
    _usual: dict[int | str | None, Pace] = field(default_factory=dict)
    """The pace of a function or type in whatever lane: what a lane of which nothing is known begins with."""
    _queues: dict[int, str] = field(default_factory=dict)
    """By lane."""
    _shares: Shares = field(default_factory=lambda: Shares(MOST_KNOWN))
    _turn: int = 0
    _last: Listed | None = None
    """The lane that was emptied last."""
    _guess: Listed | None = None
    """The same, once a look has found no other."""

    def refresh(
        self, found: Sequence[Listed], since: int = 0, suits: Callable[[Listed], bool] = lambda _lane: True
    ) -> None:
        """Take up what a look at the database found from the lane ``since`` on: what is known up to there stays.

        After a look at all lanes marks return to zero: rows may lie below them.
        """
        known = {lane.lane: lane for lane in self._listed if lane.lane <= since}
        known.update((lane.lane, lane) for lane in found)
        self._listed = listed = [lane for lane in known.values() if suits(lane)]
        for lane in listed:
            _known(self._codes, lane.lane, lane.type or lane.function)
            _known(self._queues, lane.lane, lane.queue)
        if not since:
            self._marks.clear()
        self._guess = None if self._listed else self._last

    def reached(self, lane: int) -> int:
        """The ``seq`` of this lane below which all has been claimed, as far as we know."""
        return self._reached.get(lane, 0)

    def expect(self, suits: Callable[[Listed], bool]) -> bool:
        """Take it that the lane which was emptied last has work again: one guess, then a look has to say what has."""
        guess, self._guess = self._guess, None
        if self._listed or guess is None or not suits(guess):
            return False
        self._listed = [guess]
        return True

    @property
    def empty(self) -> bool:
        """Whether no lane is known to have work."""
        return not self._listed

    def measured(self, lane: int, runs: Sequence[float]) -> None:
        """Tasks of this lane ran for so many seconds; at least one."""
        for pace in self._paces_of(lane):
            pace.add(runs)
        self.charge(lane, sum(runs))

    def charge(self, lane: int, seconds: float) -> None:
        """Tasks of this lane had slots for so long, whatever came of them."""
        self._shares.charge(lane, seconds)
        if (queue := self._queues.get(lane)) is not None:
            self._shares.charge(queue, seconds)

    def takes_longer(self, lane: int, run_s: float) -> None:
        """A task of this lane runs for so many seconds already."""
        for pace in self._paces_of(lane):
            pace.seconds = max(pace.seconds or 0.0, run_s)

    def pace(self, lane: int) -> float | None:
        """Seconds that a task of this lane takes, None while unknown."""
        known = self._paces.get(lane) or self._usual.get(self._codes.get(lane))
        return None if known is None or known.seconds is None else max(known.seconds, FASTEST)

    def _paces_of(self, lane: int) -> Iterator[Pace]:
        yield _known(self._paces, lane, Pace())
        if (code := self._codes.get(lane)) is not None:
            yield _known(self._usual, code, Pace())

    def asks(self, held: Sequence[tuple[int, int]], free: int, over: int = 0) -> list[Ask]:
        """What to claim now, given the number of tasks held by lane and the number of ``free`` slots.

        ``over`` of those that are held have ended: what waits to be written must not keep the next from coming.
        """
        listed = self._listed  # the dispatcher may drop a lane meanwhile
        room_of = self._rooms(held)
        if room_of:
            listed = [lane for lane in listed if room_of.get(lane.type, 1) > 0]
        if not listed:
            return []
        lanes = self._next_lanes(listed, held)
        budget = self.slots * HORIZON - sum(number * self._cost(lane) for lane, number in held)
        room = (2 * ROWS_PER_CLAIM - (sum(number for _, number in held) - over)) // len(lanes)
        share = -(-free // len(lanes))
        asks: list[Ask] = []
        for place, lane in enumerate(lanes):
            want = min(share, free)
            if not place and budget > 0 and all(held_lane != lane.lane for held_lane, _ in held):
                want = max(want, 1)  # its turn, however busy others keep the slots
            if (pace := self.pace(lane.lane)) is not None:
                want = max(want, int(budget / (len(lanes) - place) / pace))
            want = min(want, ROWS_PER_CLAIM // len(lanes), room)
            if lane.type in room_of:
                want = min(want, room_of[lane.type])
                room_of[lane.type] -= max(want, 0)
            if want > 0:
                asks.append(Ask(lane.lane, self._marks.get(lane.lane, 0), want))
                free = max(0, free - want)
                budget -= want * self._cost(lane.lane)
        return asks

    def _cost(self, lane: int) -> float:
        """Seconds of what this worker may hold that a task of this lane takes up: a slot is not more than taken."""
        return min(self.pace(lane) or HORIZON, HORIZON)

    def _rooms(self, held: Sequence[tuple[int, int]]) -> dict[str | None, int]:
        """How many more tasks of each limited type may be held."""
        rooms: dict[str | None, int] = dict(self.limits.items())
        if rooms:
            for lane, number in held:
                if (type := self._codes.get(lane)) in rooms:
                    rooms[type] -= number
        return rooms

    def took(self, asks: Sequence[Ask], lowest: dict[int, tuple[int, int]]) -> None:
        """Learn from a claim; ``lowest`` gives the number of rows and the lowest ``seq`` by lane.

        A lane that came back short is looked at from zero once more, and dropped when that was short too.
        """
        dry = set()
        for ask in asks:
            number, seq = lowest.get(ask.lane, (0, 0))
            if number:
                self._reached.pop(ask.lane, None)
                _known(self._reached, ask.lane, seq)
            if number >= ask.want:
                self._marks[ask.lane] = seq
            elif ask.mark:
                self._marks[ask.lane] = 0
            else:
                dry.add(ask.lane)
        if dry:
            self._last = next((lane for lane in self._listed if lane.lane in dry and lane.lane in lowest), None)
            self._listed = [lane for lane in self._listed if lane.lane not in dry]

    def drop(self, lane: int) -> None:
        """Take no more of this lane until the next look."""
        self._listed = [listed for listed in self._listed if listed.lane != lane]
        if self._last is not None and self._last.lane == lane:
            self._last = self._guess = None

    def _next_lanes(self, listed: Sequence[Listed], held: Sequence[tuple[int, int]]) -> list[Listed]:
        """Some lanes of the highest priority from each queue; first the queue, and of it the lane, that used least."""
        top: dict[str, list[Listed]] = {}
        for lane in listed:
            best = top.setdefault(lane.queue, [])
            if best and lane.priority > best[0].priority:
                best.clear()
            if not best or lane.priority == best[0].priority:
                best.append(lane)
        self._turn += 1
        taken = self._taken(held)
        queues = [top[queue] for queue in self._first("", list(top), taken)]
        for place, lanes in enumerate(queues):
            by_number = {lane.lane: lane for lane in lanes}
            group = f"{lanes[0].queue} {lanes[0].priority}"
            queues[place] = [by_number[lane] for lane in self._first(group, list(by_number), taken)]
        depths = range(max(map(len, queues)))
        return [lanes[depth] for depth in depths for lanes in queues if depth < len(lanes)][:LANES_PER_CLAIM]

    def _taken(self, held: Sequence[tuple[int, int]]) -> dict[int | str, float]:
        """Seconds that what is held will use, by lane and by queue."""
        taken: dict[int | str, float] = {}
        for lane, number in held:
            taken[lane] = number * (self.pace(lane) or HORIZON)
            if queue := self._queues.get(lane, ""):
                taken[queue] = taken.get(queue, 0.0) + taken[lane]
        return taken

    def _first(self, group: str, some: list[N], taken: Mapping[int | str, float]) -> list[N]:
        """Those that used least, in order; between equals it goes round."""
        self._shares.admit(group, some)
        start = self._turn % len(some)
        turned = some[start:] + some[:start]
        return nsmallest(LANES_PER_CLAIM, turned, key=lambda one: self._shares.used(one) + taken.get(one, 0.0))


def _known(all: dict[K, V], key: K, new: V) -> V:
    """What is known by this key, the new value if nothing is; what was not asked for the longest is forgotten."""
    value = all[key] = all.pop(key, new)
    if len(all) > MOST_KNOWN:
        del all[next(iter(all))]
    return value

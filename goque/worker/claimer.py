"""Brings work from the database to the desk, verified. Not for: writing what came of it (``completer``).

A claim whose answer was lost is found by its own record, and what we did not hear of is handed back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from goque.errors import DatabaseUnavailable, KeyMissing, SignatureInvalid
from goque.model.eligibility import EVERY_QUEUE
from goque.model.outcomes import Outcome
from goque.model.states import EXPIRED, RunOutcome, Status
from goque.postgres.database import Dedicated
from goque.queries import claim, finish, handback, workers
from goque.queries.finish import End
from goque.worker.attendant import Attendant
from goque.worker.desk import Desk, Ended, Held, Me
from goque.worker.ledger import Ledger
from goque.worker.programs import Programs
from goque.worker.roster import PATIENCE_S, Ask, Roster

MOST_TO_WRITE = 4_096
"""With so many tasks held, outcomes that could not be written included, nothing more is claimed."""
LARGE_AT_ONCE = 32 * 1024 * 1024
SHORTEST_LOOK, LONGEST_LOOK = 0.02, 6.0
"""An idle worker looks ever more seldom, since it is told of work."""
LONGEST_LOOK_UNTOLD = 0.5
"""The same for one that does not listen."""
LOOK_AGAIN_S, LONGEST_AGAIN_S = 1.0, 10.0
"""Lanes that came since the last look are found after this long, also while those that are known have work.

The second is for lanes that came late or have work again, where it takes long to look at all of them.
"""
QUICK_S = 0.005
"""A look at all lanes that takes no longer is made at once, and saves the one at the newest."""
MOMENT_S = 0.001
"""What a claim brought is begun first, by threads that compete with this one; then more is looked for."""
SHORTEST_TURN, LONGEST_TURN = 0.005, 0.08
"""When to ask again for many tasks of a lane of which another worker was just taking many; ever later in a crowd."""
OFTEN_LATE = 10
"""So many times in a row it was another's turn: then a few are taken out of turn, for the other may stand still."""
SECOND_CHECK_S = 65.0
"""After a lost answer the server may still be claiming for us, up to its statement timeout of 60 seconds."""
NEXT_CHECK_S = 300.0
"""No timeout ends a commit that waits for a standby or a disk: whatever was claimed for us shows some day."""


@dataclass(slots=True)
class _Look:
    """A way of looking for lanes with work."""

    wanted: bool = True
    cost: float = 0.0
    """Seconds that the last one took."""
    at: float = 0.0
    """``time.monotonic()`` at its end."""
    not_before: float = 0.0
    """``time.monotonic()`` until which what was claimed goes first."""

    @property
    def may_be(self) -> float:
        """When the next one may be: short ones may take a twentieth of the time, and none more than a sixth.

        What only a long one finds must not wait much longer than a second for it.
        """
        rest = max(0.002, min(20 * self.cost, 1.0 + 5 * self.cost)) if self.cost > 0.001 else 0.0
        return max(self.not_before, self.at + rest)

    def took(self, began: float) -> None:
        """It has been done."""
        self.at = time.monotonic()
        self.cost = self.at - began


class Claimer(Attendant):
    """Looks for lanes with work and claims from them. Belongs to one thread but for ``look_again``."""

    def __init__(
        self,
        connection: Dedicated,
        me: Me,
        desk: Desk,
        roster: Roster,
        programs: Programs,
        ledger: Ledger,
        *,
        wake_dispatcher: Callable[[], None],
        longest_look: float = LONGEST_LOOK,
        claimed: Callable[[int], None] = lambda _tasks: None,
        fetching: Callable[[int], bool] = lambda _lane: False,
    ) -> None:
        """``claimed`` hears how many tasks a claim has brought; ``fetching`` says that a lane waits for its objects."""
        super().__init__("claimer", desk.room)
        self._connection = connection
        self._me = me
        self._desk = desk
        self._roster = roster
        self._programs = programs
        self._ledger = ledger
        self._wake_dispatcher = wake_dispatcher
        self._longest_look = longest_look
        self._claimed = claimed
        self._fetching = fetching
        self.claiming = True
        self.ends_at: float | None = None
        """``time.monotonic()`` at which this worker must be gone: what may run for longer is left to others."""
        self.looked_in_vain = 0
        """Looks for work in a row that found none."""
        self._look_at = 0.0
        self._look_pause = SHORTEST_LOOK
        self._whole = _Look()
        """At all lanes; where many were drained lately, that takes a while."""
        self._newest = _Look()
        """At those from ``_lowest`` on: the one that a new map most likely is in."""
        self._turn_at = 0.0
        """``time.monotonic()`` until which others go first: it was not our turn in all lanes that we asked for."""
        self._late = 0
        """How often in a row."""
        self._lowest = self._highest = 0
        """The lowest lane that the last look at all of them has found, and the highest of any look."""
        self._number = int(time.time() * 1000)
        self._checks = [time.monotonic() + NEXT_CHECK_S]
        """When to look for claims of which we did not hear (``time.monotonic()``)."""
        self._fresh: list[Held] = []
        """Claimed, and not yet prepared."""
        self._large: list[Held] = []
        self._giving_way: set[int] = set()

    def look_again(self) -> None:
        """There may be new work. From any thread."""
        with self._desk.room:
            self._want_look()
            self._desk.room.notify_all()

    def give_way(self, lanes: Iterable[int]) -> None:
        """Hand back what is still to be fetched of these lanes. From any thread."""
        with self._desk.room:
            self._giving_way.update(lanes)
            self._desk.room.notify_all()

    def on_stop(self) -> None:
        self._hand_back(None)

    # When

    def _pause(self) -> float:
        """Seconds until there is something to do; 0 or less for now."""
        if self._large and (self._starving() or self._giving_way or not self.claiming):
            return 0.0
        now = time.monotonic()
        due = min([now + 60.0, *self._checks, *(held.since + PATIENCE_S for held in self._large[:1])])
        if self._may_claim():
            if not self._roster.empty and self._asks():
                due = min(due, max(now, self._turn_at))
                return due - now
            due = min(due, self._next_look(now))
        return due - now

    def _next_look(self, now: float) -> float:
        """When to look for lanes, if nothing is to be claimed of those that are known."""
        if self._roster.empty or self._free():
            # All that is known may be of types of which no more may be held; others may have come.
            return min(self._looks_due())
        return now + LOOK_AGAIN_S

    def _looks_due(self) -> tuple[float, float]:
        """When to look at all lanes, and when at the newest."""
        whole, newest = self._look_at, math.inf
        if not self._roster.empty:
            whole = self._whole.at + min(max(LOOK_AGAIN_S, 50 * self._whole.cost), LONGEST_AGAIN_S)
            newest = max(self._whole.at, self._newest.at) + LOOK_AGAIN_S
        if self._whole.wanted:
            whole = 0.0
        if self._newest.wanted:
            newest = 0.0
        return max(whole, self._whole.may_be), max(newest, self._newest.may_be)

    def _want_look(self) -> None:
        self._whole.wanted = self._newest.wanted = True

    def _may_claim(self) -> bool:
        return self.claiming and self._me.well and self._desk.load()[2] < MOST_TO_WRITE

    def _starving(self) -> bool:
        return self._desk.load()[0] == 0

    def _asks(self) -> list[Ask]:
        free = self._free()
        ready, waiting, held = self._desk.load()
        asks = self._roster.asks(self._desk.by_lane(), free, waiting)
        wanted = sum(ask.want for ask in asks)
        # Not for a handful of rows while there is plenty: a claim costs a round trip whatever it brings.
        worth_it = (free and not ready) or wanted >= max(8, (held - waiting) // 2)
        return asks if worth_it else []

    def _free(self) -> int:
        _, waiting, held = self._desk.load()
        return max(0, self._roster.slots - (held - waiting))

    def _guesses(self) -> list[Ask]:
        """An idle worker that hears of work asks for more of the same at once: a look is a round trip before it begins.

        For no more than its slots, and only while it holds nothing, since what a look finds may have priority.
        """
        now = time.monotonic()
        if not self._whole.wanted or not self._desk.idle or not self._may_claim():
            return []
        if not self._roster.expect(lambda lane: self._suits(lane, now)):
            return []
        return [ask._replace(want=min(ask.want, self._roster.slots)) for ask in self._asks()]

    # What

    def turn(self) -> None:
        """Look for more when that is due, and claim what there is room for."""
        try:
            if time.monotonic() >= self._checks[0]:
                self.clear_doubt()
            asks = self._guesses()
            if not asks:
                # First: a slot that was taken for long is free now, and more urgent work may have come meanwhile.
                self._look()
                asks = self._asks() if self._may_claim() else []
            if asks:
                self._take(*self._claim(asks))
            self._hand_back(self._giving_way if self.claiming else None)
            if self.claiming:
                self._fetch_large()
        except DatabaseUnavailable:
            self._want_look()
            now = time.monotonic()
            self._checks = [now, now + SECOND_CHECK_S]
            raise
        finally:
            # Whatever went wrong between claiming a task and preparing it: it is in our hands and nobody else's.
            if self._fresh:
                fresh, self._fresh = self._fresh, []
                self._desk.unstarted(fresh)

    def _claim(self, asks: list[Ask]) -> tuple[list[Ask], int, list[claim.Claimed]]:
        """What was asked for in turn, the number of the claim, and what it brought."""
        self._number += 1
        if self._late >= OFTEN_LATE:
            self._late -= 1
            asks = [ask._replace(want=min(ask.want, claim.FEW)) for ask in asks]
        many = [ask.lane for ask in asks if ask.want > claim.FEW]
        statements = [claim.claim(self._me.id, self._number, asks, EVERY_QUEUE)]
        # Marked as ours: the rows are locked until their arguments, which may be many, have been sent.
        *turns, rows = self._connection.pipeline(
            [claim.take_turns(self._me.id, many), *statements] if many else statements
        )
        late = set(many).difference(*turns)
        if many:
            self._late = self._late + 1 if late else 0
            pause = min(SHORTEST_TURN * 2 ** (self._late - 1), LONGEST_TURN) if late else 0.0
            self._turn_at = time.monotonic() + pause
        return [ask for ask in asks if ask.lane not in late], self._number, rows

    def _take(self, asks: Sequence[Ask], number: int, rows: list[claim.Claimed]) -> None:
        found: dict[int, list[int]] = {}
        for row in rows:
            found.setdefault(row.lane, []).append(row.seq)
        self._roster.took(asks, {lane: (len(seqs), min(seqs)) for lane, seqs in found.items()})
        if self._roster.empty:
            self._want_look()
        if not rows:
            return
        if self._roster.empty:
            self._whole.not_before = self._newest.not_before = time.monotonic() + MOMENT_S
        self.looked_in_vain = 0
        self._claimed(len(rows))
        now = time.monotonic()
        tasks = [Held(*row, number, now) for row in rows]
        self._desk.claimed(tasks)
        self._fresh = tasks
        self._programs.learn(found, held=[lane for lane, _ in self._desk.by_lane()])
        at_hand, suspects = [], []
        for held in tasks:
            if held.expired or self._programs.find(held.lane) is None:
                at_hand.append(held)
            elif held.alone:
                suspects.append(held)
            elif held.args is None:
                self._large.append(held)
            else:
                at_hand.append(held)
        self._fresh = suspects
        self._prepare(at_hand)
        if suspects:
            self._mark_suspects(suspects)
            self._fresh = []

    def _prepare(self, tasks: list[Held]) -> None:
        """Verify, and make ready what may be run."""
        ready, refused, foreign = [], [], []
        for held in tasks:
            lane = self._programs.find(held.lane)
            if held.stop == "canceled":
                refused.append(Ended(held, Outcome("canceled")))
            elif held.expired:
                refused.append(Ended(held, Outcome("canceled", message=EXPIRED)))
            elif lane is None:
                foreign.append(held)
            elif lane.refused is not None:
                refused.append(Ended(held, Outcome("canceled", message=lane.refused)))
            else:
                try:
                    held.args = self._programs.arguments(held, held.args or b"")
                    held.args_bytes = len(held.args)
                    ready.append(held)
                except (SignatureInvalid, KeyMissing) as error:
                    refused.append(Ended(held, Outcome("canceled", message=str(error))))
        if ready:
            self._desk.make_ready(ready)
            self._wake_dispatcher()
        if refused:
            self._desk.ended(refused)
        if foreign:
            for number in {held.lane for held in foreign}:
                self._roster.drop(number)
            self._desk.unstarted(foreign)

    def _mark_suspects(self, tasks: list[Held]) -> None:
        """A task that was lost before is marked as running, and that is committed, before its arguments are read."""
        [rows] = self._connection.pipeline([claim.start(self._me.id, [(held.id, held.run, 0.0) for held in tasks])])
        args = dict(rows)
        for held in tasks:
            held.args = args.get(held.id)
            held.started = held.id in args
        self._prepare([held for held in tasks if held.args is not None])
        self._desk.unstarted([held for held in tasks if held.args is None])

    def _fetch_large(self) -> None:
        """Read large arguments when they are about to be needed, a few at a time."""
        while self._large and self._desk.load()[0] < self._roster.slots:
            some = self._large[: self._roster.slots]
            args = dict(self._connection.all(claim.arguments([held.id for held in some])))
            del self._large[: len(some)]
            for held in some:
                held.args = args.get(held.id)
            self._prepare(some)
            if sum(map(len, args.values())) > LARGE_AT_ONCE:
                return

    # Looking for work

    def _look(self) -> None:
        now = time.monotonic()
        if not self._may_claim():
            return
        whole, newest = (at <= now for at in self._looks_due())
        if newest and not (whole and self._whole.cost < QUICK_S):
            listed = self._listed(self._newest)
        elif whole:
            listed = self._listed(self._whole)
        else:
            return
        if self._roster.empty:
            # A worker that fetches objects is not idle.
            self.looked_in_vain += not any(self._fetching(lane.lane) for lane in listed)
            self._look_at = time.monotonic() + self._look_pause
            self._look_pause = min(self._look_pause * 2, self._longest_look)
        else:
            self._look_pause = SHORTEST_LOOK

    def _listed(self, look: _Look) -> list[claim.Listed]:
        """Take a look; what it found goes to the roster as well."""
        now = time.monotonic()
        # Before it is asked: what we are told of meanwhile may have come too late for this look.
        self._newest.wanted = False
        since = self._lowest
        if look is self._whole:
            self._whole.wanted, since = False, 0
        statement = claim.live_lanes(self._me.eligibility, since, self._roster.reached(since))
        listed = self._connection.all(statement)
        look.took(now)
        self._highest = max([self._highest, *(lane.lane for lane in listed)])
        self._lowest = min((lane.lane for lane in listed), default=self._highest)
        self._roster.refresh(listed, since, lambda lane: self._suits(lane, now))
        return listed

    def _suits(self, lane: claim.Listed, now: float) -> bool:
        """Whether this worker has the modules and objects for a lane, and the time."""
        if self._ledger.cannot_run(lane.lane) or self._fetching(lane.lane):
            return False
        return self.ends_at is None or lane.timeout_s is None or now + lane.timeout_s <= self.ends_at

    # After a break

    def clear_doubt(self) -> None:
        """Hand back what was claimed for us without our hearing of it: an answer was lost."""
        rows = self._connection.all(workers.held_by(self._me.id))
        unheard = [row for row in rows if not self._desk.holds(row[0], row[1])]
        if ready := [(task, run) for task, run, canceled in unheard if not canceled]:
            self._connection.run(handback.hand_back(self._me.id, ready))
        if canceled := [End(task, run, Status.CANCELED, RunOutcome.CANCELED) for task, run, gone in unheard if gone]:
            self._connection.run(finish.settle(self._me.id, canceled))
        now = time.monotonic()
        self._checks = [at for at in self._checks if at > now] or [now + NEXT_CHECK_S]

    def _hand_back(self, lanes: set[int] | None) -> None:
        """What is to be fetched of these lanes, or of all (None), or waits for too long, is not fetched any more."""
        before = time.monotonic() - PATIENCE_S
        with self._desk.room:
            back = [held for held in self._large if lanes is None or held.lane in lanes or held.since < before]
            self._giving_way.clear()
        if back:
            self._large = [held for held in self._large if held not in back]
            self._desk.unstarted(back)

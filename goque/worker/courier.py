"""Between desk and database: writes outcomes and brings work in one round trip. Not for: running tasks (``pool``).

One turn is one transaction: what has ended, what has begun, what is handed back, and the next claim. A turn whose
answer was lost is repeated: the fence makes a second writing of an outcome harmless, and tasks that were claimed
without our hearing of it are found by the claim's own record and handed back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from goque.errors import DatabaseError, DatabaseUnavailable, KeyMissing, SignatureInvalid
from goque.model.eligibility import EVERY_QUEUE, Eligibility
from goque.model.outcomes import Outcome
from goque.postgres.database import Database
from goque.queries import claim, finish, reading, workers
from goque.queries.moments import channel
from goque.service import Service
from goque.sql import Statement
from goque.worker.desk import WORTH_WRITING, Desk, Ended, Held
from goque.worker.jobs import Why
from goque.worker.ledger import Ledger
from goque.worker.programs import Programs
from goque.worker.roster import Ask, Roster

log = logging.getLogger("goque.worker")

FLUSH_S = 0.003
"""An outcome waits this long for others while there is other work to do."""
TICK_S = 0.25
"""How often running tasks are marked, reported and asked about."""
MARK_S = 0.1
"""A task that runs for longer than this is marked as ``processing``."""
WATCH_S = 0.7
"""How often it is asked whether something that is held was canceled or paused."""
TELL_S = 0.02
"""Least time between two notifications about the same lane."""
MOST_TO_WRITE = 4_096
"""With so many outcomes unwritten, nothing more is claimed."""
LARGE_AT_ONCE = 32 * 1024 * 1024
SHORTEST_LOOK, LONGEST_LOOK = 0.02, 3.0


@dataclass(slots=True)
class Me:
    """Who this worker is to the database. A worker that was declared lost registers anew and gets another id."""

    id: int
    eligibility: Eligibility


@dataclass(slots=True)
class _Turn:
    """The statements of one turn, each with what to do with its answer."""

    statements: list[Statement[Any]]
    handlers: list[Callable[[list[Any]], None]]

    def add(self, statement: Statement[Any], handler: Callable[[list[Any]], None] = lambda _rows: None) -> None:
        self.statements.append(statement)
        self.handlers.append(handler)


class Courier(Service):
    """Carries tasks from the database to the desk and outcomes back. Belongs to one thread but for ``look_again``."""

    def __init__(
        self,
        database: Database,
        me: Me,
        desk: Desk,
        roster: Roster,
        programs: Programs,
        ledger: Ledger,
        *,
        wake_dispatcher: Callable[[], None],
        stop_running: Callable[[Sequence[int], Why], None],
        give_way: Callable[[Sequence[int]], None],
        delayed: Callable[[], None] = lambda: None,
        longest_look: float = LONGEST_LOOK,
    ) -> None:
        """``stop_running`` takes ids of canceled tasks, ``give_way`` lanes whose buffered tasks go back.

        ``delayed`` is called when a task was written that waits for its time.
        """
        super().__init__("courier", interval=0.0, jitter=0.0)
        self._connection = database.dedicated("pinned")
        self._channel = channel(database.schema)
        self._me = me
        self._desk = desk
        self._roster = roster
        self._programs = programs
        self._ledger = ledger
        self._wake_dispatcher = wake_dispatcher
        self._stop_running = stop_running
        self._give_way = give_way
        self._delayed = delayed
        self._longest_look = longest_look
        self.claiming = True
        self.ends_at: float | None = None
        """``time.monotonic()`` at which this worker must be gone: what may run for longer is left to others."""
        self.suspended = False
        """Claims nothing while our own heartbeat cannot be written."""
        self.looked_in_vain = 0
        """Looks for work in a row that found none."""
        self.written = 0
        """Runs whose outcome was written."""
        self._look_at = 0.0
        self._look_pause = SHORTEST_LOOK
        self._look_wanted = True
        self._look_cost = 0.0
        self._looked_at = 0.0
        self._tick_at = 0.0
        self._watch_at = 0.0
        self._number = int(time.time() * 1000)
        self._in_doubt = False
        self._untold: set[int] = set()
        self._told_at = 0.0
        self._large: list[Held] = []

    def look_again(self) -> None:
        """There may be new work. From any thread."""
        with self._desk.changed:
            self._look_wanted = True
            self._desk.changed.notify_all()

    def watch_now(self) -> None:
        """Something was canceled or paused. From any thread."""
        with self._desk.changed:
            self._watch_at = self._tick_at = 0.0
            self._desk.changed.notify_all()

    def wake(self) -> None:
        super().wake()
        with self._desk.changed:
            self._desk.changed.notify_all()

    def on_stop(self) -> None:
        self._connection.close()

    def run_once(self) -> float | None:
        with self._desk.changed:
            while not self.stopping.is_set() and (pause := self._pause()) > 0:
                self._desk.changed.wait(pause)
        self.turn()
        return 0.0

    # When

    def _pause(self) -> float:
        """Seconds until there is something to do; 0 or less for now."""
        now = time.monotonic()
        waiting, since = self._desk.to_write()
        _, _, held = self._desk.load()
        if waiting >= WORTH_WRITING or self._in_doubt or (self._large and self._starving()):
            return 0.0
        due = now + 60.0
        if waiting:
            due = since + FLUSH_S if held > waiting else now
        if self._untold:
            due = min(due, self._told_at + TELL_S)
        if held:
            due = min(due, self._tick_at)
        if self._may_claim():
            if not self._roster.empty:
                if self._asks():
                    return 0.0
            elif self._look_wanted:
                due = min(due, self._looked_at + self._rest())
            else:
                due = min(due, self._look_at)
        return due - now

    def _rest(self) -> float:
        """Least time between two looks: looking may take a twentieth of the time at most."""
        return max(0.002, 20 * self._look_cost) if self._look_cost > 0.001 else 0.0

    def _may_claim(self) -> bool:
        return self.claiming and not self.suspended and self._desk.load()[2] < MOST_TO_WRITE

    def _starving(self) -> bool:
        return self._desk.load()[0] == 0

    def _asks(self) -> list[Ask]:
        ready, waiting, held = self._desk.load()
        active = held - waiting
        free = max(0, self._roster.slots - active)
        asks = self._roster.asks(self._desk.by_lane(), free)
        wanted = sum(ask.want for ask in asks)
        # Not for a handful of rows while there is plenty: a claim costs a round trip whatever it brings.
        worth_it = (free and not ready) or wanted >= max(8, active // 2)
        return asks if worth_it else []

    # What

    def turn(self) -> None:
        """One round trip with everything there is to say, and one to look for work when that is due."""
        if self._in_doubt:
            self._clear_doubt()
        ended, unstarted, claims = self._desk.outgoing(2 * WORTH_WRITING)
        turn = _Turn([], [])
        late: list[Ended] = []
        self._say_endings(turn, ended, late)
        if unstarted:
            turn.add(
                finish.hand_back(self._me.id, [(held.id, held.run) for held in unstarted]),
                lambda rows: self._handed_back(unstarted, rows),
            )
        if claims:
            turn.add(finish.close_claims(self._me.id, claims))
        self._say_news(turn)
        self._tell(turn)
        asks = self._asks() if self._may_claim() else []
        if asks:
            self._number += 1
            number = self._number
            turn.add(claim.claim(self._me.id, number, asks, EVERY_QUEUE), lambda rows: self._take(asks, number, rows))
        try:
            self._run(turn, ended, unstarted, claims)
            if late:
                self._settle(late)
            self._fetch_large()
            self._look()
        except DatabaseUnavailable:
            self._in_doubt = True
            raise

    def _run(self, turn: _Turn, ended: list[Ended], unstarted: list[Held], claims: list[int]) -> None:
        if not turn.statements:
            return
        try:
            answers = self._connection.pipeline(turn.statements)
        except DatabaseUnavailable:
            self._desk.unwritten(ended, unstarted, claims)
            raise
        except DatabaseError as error:
            # One outcome that PostgreSQL refuses must not hold up the others.
            log.warning("a flush was refused, writing outcomes one by one: %s", error)
            self._desk.unwritten([], unstarted, claims)
            self._write_one_by_one(ended, error)
            return
        for handler, rows in zip(turn.handlers, answers, strict=True):
            handler(rows)

    def _say_endings(self, turn: _Turn, ended: list[Ended], late: list[Ended]) -> None:
        if not ended:
            return
        for one in ended:
            if one.outcome.kind == "done":
                self._roster.measured(one.held.lane, one.outcome.run_s)
        successes = [one for one in ended if one.outcome.kind == "done"]
        others = [one for one in ended if one.outcome.kind != "done"]
        if successes:
            rows = [self._ledger.success(one) for one in successes]
            turn.add(finish.succeed(self._me.id, rows), lambda ids: self._written(successes, ids, late))
        if others:
            ends = [self._ledger.end(one) for one in others]
            waits = any(one.delay is not None for one in ends)

            def ended_otherwise(rows: list[Any]) -> None:
                self._written(others, [task for task, _ in rows], late)
                if waits:
                    self._delayed()

            turn.add(finish.end(self._me.id, ends), ended_otherwise)
        turn.add(finish.share([one.held.id for one in ended]))
        self._untold.update(one.held.lane for one in ended)

    def _written(self, ended: list[Ended], ids: list[int], late: list[Ended]) -> None:
        matched = set(ids)
        self.written += len(matched)
        self._desk.written([one.held for one in ended if one.held.id in matched])
        late.extend(one for one in ended if one.held.id not in matched)

    def _settle(self, late: list[Ended]) -> None:
        """Outcomes that matched no row: of canceled tasks, of rows that somebody has locked, or of tasks we lost."""
        settled, still = self._connection.pipeline(
            [
                finish.settle(self._me.id, [self._ledger.end(one) for one in late]),
                finish.still_held(self._me.id, [(one.held.id, one.held.run) for one in late]),
            ]
        )
        mine = set(still) - set(settled)
        again = [one for one in late if one.held.id in mine]
        gone = [one for one in late if one.held.id not in mine]
        for one in gone:
            if one.held.id not in set(settled):
                log.warning("task %s is not ours any more: its outcome (%s) is dropped", one.held.id, one.outcome.kind)
        self._desk.written([one.held for one in gone])
        self._desk.unwritten(again, [], [])

    def _write_one_by_one(self, ended: list[Ended], error: DatabaseError) -> None:
        late: list[Ended] = []
        for one in ended:
            turn = _Turn([], [])
            self._say_endings(turn, [one], late)
            try:
                answers = self._connection.pipeline(turn.statements)
            except DatabaseUnavailable:
                self._desk.unwritten([one], [], [])
                raise
            except DatabaseError as refused:
                failed = Outcome(
                    "error",
                    error_type="goque.errors.DatabaseError",
                    message=f"its outcome could not be stored: {refused}",
                )
                if one.outcome.error_type == failed.error_type:
                    log.error("task %s cannot be ended: %s", one.held.id, error)
                    continue
                self._desk.unwritten([Ended(one.held, failed)], [], [])
                continue
            for handler, rows in zip(turn.handlers, answers, strict=True):
                handler(rows)
        if late:
            self._settle(late)

    def _handed_back(self, tasks: list[Held], ids: list[int]) -> None:
        matched = set(ids)
        self._desk.written([held for held in tasks if held.id in matched])
        rest = [Ended(held, Outcome("canceled")) for held in tasks if held.id not in matched]
        if rest:
            self._settle(rest)

    def _say_news(self, turn: _Turn) -> None:
        """Mark what has begun, report progress, and ask what was canceled."""
        now = time.monotonic()
        if now < self._tick_at:
            return
        self._tick_at = now + TICK_S
        held = self._desk.everything()
        begun = [
            one
            for one in held
            if not one.started and one.running_since is not None and now - one.running_since > MARK_S
        ]
        if begun:
            marks = [(one.id, one.run, now - (one.running_since or now)) for one in begun]
            turn.add(claim.start(self._me.id, marks), lambda rows: self._started(begun, rows))
        for lane, module in self._ledger.newly_lacking():
            turn.add(claim.lacks(lane, module))
        if news := self._ledger.news(held):
            turn.add(finish.report(self._me.id, news))
        if held and now >= self._watch_at:
            self._watch_at = now + WATCH_S
            turn.add(claim.watch_held([(one.id, one.lane) for one in held], EVERY_QUEUE), self._heed)

    def _started(self, begun: list[Held], rows: list[tuple[int, bytes | None]]) -> None:
        matched = {task for task, _ in rows}
        for one in begun:
            if one.id in matched:
                one.started = True

    def _heed(self, rows: list[tuple[int, bool, bool]]) -> None:
        """Stop what was canceled, hand back what stands in a paused lane and has not begun."""
        if canceled := [task for task, is_canceled, _ in rows if is_canceled]:
            self._stop_running(canceled, "canceled")
        lanes = set()
        for task, is_canceled, is_paused in rows:
            if is_paused and not is_canceled and (held := self._desk.find(task)) is not None:
                lanes.add(held.lane)
        if lanes:
            self._give_way(sorted(lanes))

    def _tell(self, turn: _Turn) -> None:
        now = time.monotonic()
        if self._untold and now - self._told_at >= TELL_S:
            turn.add(reading.tell_watchers(self._channel, sorted(self._untold)))
            self._untold.clear()
            self._told_at = now

    # Claims

    def _take(self, asks: Sequence[Ask], number: int, rows: list[claim.Claimed]) -> None:
        lowest: dict[int, tuple[int, int]] = {}
        for row in rows:
            count, seq = lowest.get(row.lane, (0, row.seq))
            lowest[row.lane] = (count + 1, min(seq, row.seq))
        self._roster.took(asks, lowest)
        if self._roster.empty:
            self._look_wanted = True
        if not rows:
            return
        self.looked_in_vain = 0
        tasks = [
            Held(
                row.id,
                row.lane,
                row.run,
                row.attempts,
                row.max_attempts,
                row.losses,
                number,
                row.args,
                row.metadata,
                row.checkpoint,
                row.expired,
            )
            for row in rows
        ]
        self._desk.claimed(tasks)
        self._programs.learn({row.lane for row in rows})
        suspects = [held for held in tasks if held.alone and not held.expired]
        self._large += [held for held in tasks if held.args is None and not held.alone and not held.expired]
        self._prepare([held for held in tasks if held.expired or (held.args is not None and not held.alone)])
        if suspects:
            self._mark_suspects(suspects)

    def _prepare(self, tasks: list[Held]) -> None:
        """Verify, and make ready what may be run."""
        ready, refused, foreign = [], [], []
        for held in tasks:
            lane = self._programs.find(held.lane)
            if held.expired:
                refused.append(Ended(held, Outcome("canceled", message="it expired before it was started")))
            elif lane is None:
                foreign.append(held)
            elif lane.refused is not None:
                refused.append(Ended(held, Outcome("canceled", message=lane.refused)))
            else:
                try:
                    held.args = self._programs.arguments(held, held.args or b"")
                    ready.append(held)
                except (SignatureInvalid, KeyMissing) as error:
                    refused.append(Ended(held, Outcome("canceled", message=str(error))))
        if ready:
            self._desk.make_ready(ready)
            self._wake_dispatcher()
        if refused:
            self._desk.ended(refused)
        if foreign:
            self._desk.unstarted(foreign)

    def _mark_suspects(self, tasks: list[Held]) -> None:
        """A task that was lost before is marked as running, and that is committed, before its arguments are read."""
        rows = self._connection.all(claim.start(self._me.id, [(held.id, held.run, 0.0) for held in tasks]))
        args = dict(rows)
        for held in tasks:
            held.args = args.get(held.id)
            held.started = held.id in args
        self._prepare([held for held in tasks if held.args is not None])
        self._desk.unstarted([held for held in tasks if held.args is None])

    def _fetch_large(self) -> None:
        """Read large arguments when they are about to be needed, a few at a time."""
        while self._large and self._desk.load()[0] < self._roster.slots:
            some, self._large = self._large[: self._roster.slots], self._large[self._roster.slots :]
            args = dict(self._connection.all(claim.arguments([held.id for held in some])))
            for held in some:
                held.args = args.get(held.id)
            self._prepare(some)
            if sum(map(len, args.values())) > LARGE_AT_ONCE:
                return

    def withdraw(self) -> list[Held]:
        """Give up what has been claimed and not been read yet; for the dispatcher, once nothing more is claimed."""
        large, self._large = self._large, []
        return large

    # Looking for work

    def _look(self) -> None:
        now = time.monotonic()
        if not self._may_claim():
            return
        overdue = now - self._looked_at > 1.0 and not self._roster.empty
        wanted = self._look_wanted and now - self._looked_at >= self._rest()
        if not (overdue or wanted or (self._roster.empty and now >= self._look_at)):
            return
        self._look_wanted = False
        listed = self._connection.all(claim.live_lanes(self._me.eligibility))
        self._roster.refresh([lane for lane in listed if self._suits(lane, now)])
        done = time.monotonic()
        self._look_cost = done - now
        self._looked_at = done
        if self._roster.empty:
            self.looked_in_vain += 1
            self._look_at = done + self._look_pause
            self._look_pause = min(self._look_pause * 2, self._longest_look)
        else:
            self._look_pause = SHORTEST_LOOK

    def _suits(self, lane: claim.Listed, now: float) -> bool:
        """Whether this worker has the modules for a lane, and the time."""
        if self._ledger.cannot_run(lane.lane):
            return False
        return self.ends_at is None or lane.timeout_s is None or now + lane.timeout_s <= self.ends_at

    # After a break

    def _clear_doubt(self) -> None:
        """After a lost answer: hand back what was claimed for us without our hearing of it."""
        rows = self._connection.all(workers.held_by(self._me.id))
        unheard = [(task, run) for task, run in rows if self._desk.find(task) is None]
        if unheard:
            self._connection.run(finish.hand_back(self._me.id, unheard))
        self._in_doubt = False

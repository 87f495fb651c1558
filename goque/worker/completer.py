"""Writes outcomes, and what else the database must hear of held tasks. Not for: bringing work (``claimer``).

One turn is one transaction: what has ended, what has begun, what is handed back. A turn whose answer was lost is
repeated, and the fence makes a second writing of an outcome harmless. An outcome that matched no row is looked at: its
task was canceled (then its row is freed), or somebody has the row locked (then it comes again), or it is not ours.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from goque.errors import DatabaseError, DatabaseUnavailable
from goque.model.eligibility import EVERY_QUEUE
from goque.model.outcomes import Outcome
from goque.postgres.database import Dedicated
from goque.queries import claim, finish, reading
from goque.queries.moments import channel
from goque.service import Service
from goque.sql import Statement
from goque.worker.desk import WORTH_WRITING, Desk, Ended, Held, Me
from goque.worker.jobs import Why
from goque.worker.ledger import Ledger
from goque.worker.roster import Roster

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


@dataclass(slots=True)
class _Turn:
    """The statements of one turn, each with what to do with its answer."""

    statements: list[Statement[Any]]
    handlers: list[Callable[[list[Any]], None]]

    def add(self, statement: Statement[Any], handler: Callable[[list[Any]], None] = lambda _rows: None) -> None:
        self.statements.append(statement)
        self.handlers.append(handler)


class Completer(Service):
    """Carries outcomes from the desk to the database."""

    def __init__(
        self,
        connection: Dedicated,
        me: Me,
        desk: Desk,
        roster: Roster,
        ledger: Ledger,
        *,
        stop_running: Callable[[Sequence[int], Why], None],
        give_way: Callable[[Sequence[int]], None],
        delayed: Callable[[], None] = lambda: None,
    ) -> None:
        """``stop_running`` takes ids of canceled tasks, ``give_way`` lanes whose buffered tasks go back.

        ``delayed`` is called when a task was written that waits for its time.
        """
        super().__init__("completer", interval=0.0, jitter=0.0)
        self._connection = connection
        self._channel = channel(connection.schema)
        self._me = me
        self._desk = desk
        self._roster = roster
        self._ledger = ledger
        self._stop_running = stop_running
        self._give_way = give_way
        self._delayed = delayed
        self.written = 0
        """Runs whose outcome was written."""
        self._tick_at = 0.0
        self._watch_at = 0.0
        self._untold: set[int] = set()
        self._told_at = 0.0

    def watch_now(self) -> None:
        """Something was canceled or paused. From any thread."""
        with self._desk.changed:
            self._watch_at = self._tick_at = 0.0
            self._desk.changed.notify_all()

    def wake(self) -> None:
        super().wake()
        with self._desk.changed:
            self._desk.changed.notify_all()

    def run_once(self) -> float | None:
        with self._desk.changed:
            while not self.stopping.is_set() and (pause := self._pause()) > 0:
                self._desk.changed.wait(pause)
        self.turn()
        return 0.0

    def _pause(self) -> float:
        """Seconds until there is something to write; 0 or less for now."""
        now = time.monotonic()
        waiting, since = self._desk.to_write()
        held = self._desk.load()[2]
        if waiting >= WORTH_WRITING:
            return 0.0
        due = now + 60.0
        if waiting:
            due = since + FLUSH_S if held > waiting else now
        if self._untold:
            due = min(due, self._told_at + TELL_S)
        if held:
            due = min(due, self._tick_at)
        return due - now

    def turn(self) -> None:
        """One round trip with everything there is to say."""
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
        self._run(turn, ended, unstarted, claims)
        if late:
            self._settle(late)

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
            if words := self._ledger.last_words(others):
                turn.add(finish.report(self._me.id, words))
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
        # With the hand-back that it caused: there may be no other turn for a long time.
        for lane, module in self._ledger.newly_lacking():
            turn.add(claim.lacks(lane, module))
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

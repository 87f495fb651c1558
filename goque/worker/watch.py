"""What the database hears of held tasks while they run, and is asked about them. Not for: outcomes (``completer``).

It speaks in the completer's turns, a few times a second: which tasks have begun, how far they are, and whether somebody
canceled or paused what is held here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from goque.model.eligibility import EVERY_QUEUE
from goque.queries import claim, programs, reports
from goque.sql import Statement
from goque.worker.channel.jobs import Why
from goque.worker.desk import Desk, Held, Me
from goque.worker.ledger import Ledger, News

TICK_S = 0.25
"""How often running tasks are marked, reported and asked about."""
MARK_S = 0.1
"""A task that runs for longer than this is marked as ``processing``."""
WATCH_S = 0.7
"""How often it is asked whether something that is held was canceled or paused."""


@dataclass(slots=True)
class Turn:
    """The statements of one round trip, each with what to do with its answer."""

    statements: list[Statement[Any]] = field(default_factory=list)
    handlers: list[Callable[[list[Any]], None]] = field(default_factory=list)

    def add(self, statement: Statement[Any], handler: Callable[[list[Any]], None] = lambda _rows: None) -> None:
        self.statements.append(statement)
        self.handlers.append(handler)


class Watch:
    """Looks after held tasks. ``due`` is when it speaks next, on the monotonic clock."""

    def __init__(
        self,
        me: Me,
        desk: Desk,
        ledger: Ledger,
        stop_running: Callable[[Sequence[int], Why], None],
        give_way: Callable[[Sequence[int]], None],
    ) -> None:
        self._me = me
        self._desk = desk
        self._ledger = ledger
        self._stop_running = stop_running
        self._give_way = give_way
        self.due = 0.0
        self._asks_at = 0.0
        self._news: list[News] = []

    def hasten(self) -> None:
        """Speak and ask with the next turn."""
        self._asks_at = self.due = 0.0

    def say(self, turn: Turn) -> None:
        """Mark what has begun, report progress, and ask what was canceled, if it is time."""
        # With the hand-back that it caused: there may be no other turn for a long time.
        if lacking := self._ledger.newly_lacking():
            for lane, module in lacking:
                turn.add(programs.lacks(lane, module))
            turn.handlers[-1] = lambda _rows: self._ledger.said_lacking(len(lacking))
        now = time.monotonic()
        if now < self.due:
            return
        self.due = now + TICK_S
        held = self._desk.everything()
        begun = [
            one
            for one in held
            if not one.started and one.running_since is not None and now - one.running_since > MARK_S
        ]
        if begun:
            marks = [(one.id, one.run, now - (one.running_since or now)) for one in begun]
            turn.add(claim.start(self._me.id, marks), lambda rows: _marked(begun, rows))
        if news := self._ledger.news(held):
            self._news = news
            turn.add(reports.report(self._me.id, self._ledger.reports(news)), lambda _rows: self._ledger.told(news))
        if held and now >= self._asks_at:
            self._asks_at = now + WATCH_S
            turn.add(claim.watch_held([(one.id, one.lane) for one in held], EVERY_QUEUE), self._heed)

    def drop_news(self) -> None:
        """The last report may be what PostgreSQL refused: it is not said again."""
        self._ledger.told(self._news)

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


def _marked(begun: list[Held], rows: list[tuple[int, bytes | None]]) -> None:
    matched = {task for task, _ in rows}
    for one in begun:
        if one.id in matched:
            one.started = True

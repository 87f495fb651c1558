"""Writes outcomes, and hands back. Not for: bringing work (``claimer``), what still runs (``watch``).

One turn is one transaction: what has ended, what is handed back, what the watch has to say. A turn whose answer was
lost is repeated, and the fence makes a second writing of an outcome harmless. An outcome that matched no row is looked
at: its task was canceled (then its row is freed), or somebody has the row locked (then it comes again), or it is not
ours.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from goque.errors import DatabaseError, DatabaseUnavailable, MigrationNeeded
from goque.model.outcomes import Outcome
from goque.model.states import Status
from goque.postgres.database import Dedicated
from goque.queries import duplicates, enqueue, finish, handback, outcomes, reports, spawning, transactions
from goque.queries.enqueue import Single
from goque.queries.moments import Word, channel
from goque.worker.attendant import Attendant
from goque.worker.channel.jobs import Why
from goque.worker.desk import WORTH_WRITING, Desk, Ended, Held, Me
from goque.worker.ledger import Ledger
from goque.worker.roster import Roster
from goque.worker.watch import TICK_S, Turn, Watch
from goque.worker.witness import Witness

log = logging.getLogger("goque.worker")

FLUSH_S = 0.003
"""An outcome waits this long for others while there is other work to do."""
PATIENCE_MS = 10
"""How long an external id is waited for that somebody's open transaction may have taken; then with the next tick."""
TELL_S = 0.02
"""Least time between two notifications about the same lane, while more is held that will end."""
_COMES_AGAIN = ("25", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE that say nothing about what was to be written: locks, deadlocks, a full disk."""


@dataclass(slots=True)
class _Unmatched:
    """What the fence kept out: outcomes, and tasks to be handed back."""

    ended: list[Ended] = field(default_factory=list)
    unstarted: list[Held] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.ended or self.unstarted)


class Completer(Attendant):
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
        shared_by_many: Callable[[], None] = lambda: None,
        spawn: Callable[[Ended], list[Single]] = lambda _ended: [],
        has_spawned: Callable[[set[int]], None] = lambda _lanes: None,
        witness: Witness | None = None,
    ) -> None:
        """``stop_running`` takes ids of canceled tasks, ``give_way`` lanes whose buffered tasks go back.

        ``delayed`` is called when a task was written that waits for its time, ``shared_by_many`` when more tasks share
        an outcome than one flush gives it to. ``spawn`` signs what a task asked for and may store functions and lanes;
        ``has_spawned`` hears of the lanes in which such tasks were made, ``witness`` of outcomes that are written.
        """
        super().__init__("completer", desk.changed)
        self._connection = connection
        self._channel = channel(connection.schema)
        self._me = me
        self._desk = desk
        self._roster = roster
        self._ledger = ledger
        self._delayed = delayed
        self._shared_by_many = shared_by_many
        self._spawn = spawn
        self._has_spawned = has_spawned
        self._witness = witness
        self.written = 0
        """Runs whose outcome was written."""
        self._watch = Watch(me, desk, ledger, stop_running, give_way)
        self._locked = _Unmatched()
        """Ours, and not to be written now, most likely for an open transaction: they come again with the next tick."""
        self._untold: set[int] = set()
        self._told_at = 0.0

    def watch_now(self) -> None:
        """Something was canceled or paused. From any thread."""
        with self._desk.changed:
            self._watch.hasten()
            self._desk.changed.notify_all()

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
            due = min(due, self._watch.due)
        return due - now

    def turn(self) -> None:
        """One round trip with everything there is to say."""
        if self._locked and time.monotonic() >= self._watch.due:
            self._desk.unwritten(self._locked.ended, self._locked.unstarted, [])
            self._locked = _Unmatched()
        outgoing, unstarted, claims = self._desk.outgoing(2 * WORTH_WRITING)
        patient = [one for one in outgoing if one.refusals or one.held.takes_external_ids]
        ended = [one for one in outgoing if not (one.refusals or one.held.takes_external_ids)]
        turn, late = Turn(), _Unmatched()
        try:
            self._say_endings(turn, ended, late)
            self._say_returns(turn, unstarted, late)
            if claims:
                turn.add(handback.close_claims(self._me.id, claims))
            self._watch.say(turn)
            self._tell(turn, is_all=self._desk.load()[2] <= len(outgoing) + len(unstarted))
            self._run(turn)
        except DatabaseUnavailable:
            self._desk.unwritten(outgoing, unstarted, claims)
            raise
        except Exception as error:
            tasks = ", ".join(str(one.held.id) for one in outgoing[:3]) + (", ..." if len(outgoing) > 3 else "")
            log.warning("what was written together was refused, now one by one (tasks %s): %s", tasks or "none", error)
            self._desk.unwritten([], unstarted, claims)
            self._watch.drop_news()
            self._write_one_by_one(outgoing, error)
            return
        try:
            self._settle(late)
        finally:
            self._write_one_by_one(patient)

    def _run(self, turn: Turn) -> None:
        for handler, rows in zip(turn.handlers, self._connection.pipeline(turn.statements), strict=True):
            handler(rows)

    def _say_endings(self, turn: Turn, ended: list[Ended], late: _Unmatched) -> None:
        if not ended:
            return
        successes, others = [], []
        runs: dict[int, list[float]] = {}
        for one in ended:
            if one.outcome.kind == "done":
                successes.append(one)
                runs.setdefault(one.held.lane, []).append(one.outcome.run_s)
            else:
                others.append(one)
                self._roster.charge(one.held.lane, one.outcome.run_s)
        for lane, seconds in runs.items():
            self._roster.measured(lane, seconds)
        if successes:
            turn.add(
                finish.succeed(self._me.id, self._ledger.successes(successes)),
                lambda ids: self._written(successes, dict.fromkeys(ids, Status.DONE), late),
            )
            self._say_spawned(turn, [one for one in successes if one.held.submissions])
        if others:
            ends = [self._ledger.end(one) for one in others]
            if words := self._ledger.last_words(others):
                turn.add(reports.report(self._me.id, words))
            waits = any(one.delay is not None for one in ends)

            def ended_otherwise(rows: list[Any]) -> None:
                self._written(others, dict(rows), late)
                if waits:
                    self._delayed()

            turn.add(finish.end(self._me.id, ends), ended_otherwise)
        turn.add(duplicates.share([one.held.id for one in ended]), self._shared)
        self._untold.update(one.held.lane for one in ended)

    def _shared(self, followers: list[int]) -> None:
        if len(followers) >= duplicates.STEP:
            self._shared_by_many()

    def _say_spawned(self, turn: Turn, parents: list[Ended]) -> None:
        """Make the tasks that others asked for, if the outcomes of those are written by this very turn."""
        for one in parents:
            if one.held.spawned is None:
                one.held.spawned = self._spawn(one)
        spawned = [(one.held.id, one.held.run, single) for one in parents for single in one.held.spawned or ()]
        if spawned:
            if any(one.held.takes_external_ids for one in parents):
                turn.add(transactions.wait_at_most(PATIENCE_MS))
                turn.add(spawning.forget_holders([single for _, _, single in spawned]))
            turn.add(spawning.spawn(self._me.id, spawned), lambda rows: self._has_spawned({lane for _, lane in rows}))
            turn.add(enqueue.wake(self._channel, Word.WORK))
            if any(single.delay is not None or single.run_at is not None for _, _, single in spawned):
                turn.add(enqueue.wake(self._channel, Word.DUE))

    def _written(self, ended: list[Ended], became: dict[int, Status], late: _Unmatched) -> None:
        written = [one for one in ended if one.held.id in became]
        self.written += len(written)
        if self._witness is not None:
            self._witness.saw(written, became)
        self._desk.written([one.held for one in written])
        late.ended += [one for one in ended if one.held.id not in became]

    def _say_returns(self, turn: Turn, tasks: list[Held], late: _Unmatched) -> None:
        def returned(ids: list[int]) -> None:
            matched = set(ids)
            self._desk.written([held for held in tasks if held.id in matched])
            late.unstarted += [held for held in tasks if held.id not in matched]

        if tasks:
            turn.add(handback.hand_back(self._me.id, [(held.id, held.run) for held in tasks]), returned)
            # Whoever is free takes it up: others, or this worker in a moment, which no longer knows that it is there.
            turn.add(enqueue.wake(self._channel, Word.WORK))

    def _settle(self, late: _Unmatched) -> None:
        """What matched no row belongs to canceled tasks, to rows that somebody has locked, or to tasks we lost."""
        if not late:
            return
        stopped = [*late.ended, *(Ended(held, Outcome("canceled")) for held in late.unstarted)]
        try:
            settled, still = self._connection.pipeline(
                [
                    finish.settle(self._me.id, [self._ledger.end(one) for one in stopped]),
                    handback.still_held(self._me.id, [(one.held.id, one.held.run) for one in stopped]),
                ]
            )
        except BaseException:
            self._desk.unwritten(late.ended, late.unstarted, [])
            raise
        locked = set(still)
        self._locked.ended += [one for one in late.ended if one.held.id in locked]
        self._locked.unstarted += [held for held in late.unstarted if held.id in locked]
        self._desk.written([one.held for one in stopped if one.held.id not in locked])
        if self._witness is not None:
            canceled = dict.fromkeys(settled, Status.CANCELED)
            self._witness.saw([one for one in late.ended if one.held.id in canceled], canceled)
        dropped = {one.held.id for one in late.ended} - locked - set(settled)
        if dropped:
            log.warning(
                "%d outcomes matched no task of ours: the tasks are others' by now, or an answer was lost (task %s)",
                len(dropped),
                min(dropped),
            )

    def _write_one_by_one(self, ended: list[Ended], error: Exception | None = None) -> None:
        """One outcome that PostgreSQL refuses, or that has to wait, must not hold up the others."""
        if not ended and error is None:
            return
        left, late = deque(ended), _Unmatched()
        try:
            while left:
                turn = Turn()
                try:
                    self._say_endings(turn, [left[0]], late)
                    self._run(turn)
                except Exception as refused:
                    if left[0].held.takes_external_ids and _waited_too_long(refused):
                        self._locked.ended.append(left[0])
                    elif _comes_again(refused):
                        raise
                    else:
                        self._replace(left[0], refused)
                left.popleft()
        finally:
            self._desk.unwritten(list(left), [], [])
            self._settle(late)
        if not ended and error is not None and _comes_again(error):
            raise error  # so that the next turn is not taken at once

    def _replace(self, one: Ended, refused: Exception) -> None:
        """An outcome that cannot be stored becomes a failure that says so, which comes again until it can be stored."""
        context = {"task": one.held.id, "run": one.held.run}
        if one.refusals:
            if one.refusals == 1:
                text = "task %s cannot be ended, which is tried again every %g s: %s"
                log.error(text, one.held.id, TICK_S, refused, extra=context)
            one.refusals += 1
            self._locked.ended.append(one)
            return
        failed = Outcome(
            "error",
            error_type="goque.errors.DatabaseError",
            message=f"its outcome could not be stored: {refused}",
            started=one.outcome.started,
            run_s=one.outcome.run_s,
            cpu_s=one.outcome.cpu_s,
            max_rss=one.outcome.max_rss,
        )
        text = "the outcome of task %s, run %s, is refused, so that this run fails: %s"
        log.warning(text, one.held.id, one.held.run, refused, extra=context)
        self._desk.unwritten([Ended(one.held, failed, one.at, refusals=1)], [], [])

    def _tell(self, turn: Turn, is_all: bool) -> None:
        """At once when nothing else is held that would have to be told of soon."""
        now = time.monotonic()
        if self._untold and (is_all or now - self._told_at >= TELL_S):
            told = sorted(self._untold)
            turn.add(outcomes.tell_watchers(self._channel, told), lambda _rows: self._untold.difference_update(told))
            self._told_at = now


def _waited_too_long(error: Exception) -> bool:
    return isinstance(error, DatabaseError) and error.sqlstate == transactions.WAITED_TOO_LONG


def _comes_again(error: Exception) -> bool:
    """Whether the same may be written another time, as it is."""
    if isinstance(error, DatabaseUnavailable | MigrationNeeded):
        return True
    return isinstance(error, DatabaseError) and error.sqlstate[:2] in _COMES_AGAIN

"""Between desk and pool: gives slots what they can take, takes what comes of it. Not for: SQL (``completer``)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from goque.model.outcomes import Outcome
from goque.model.retries import without_child
from goque.service import Service
from goque.worker.channel.jobs import Checkpointed, Event, Finished, Job, Program, Progressed, Returned, Submitted, Why
from goque.worker.desk import Desk, Ended, Held, Me
from goque.worker.ledger import Ledger
from goque.worker.programs import Programs
from goque.worker.roster import PATIENCE_S, Roster

log = logging.getLogger("goque.worker")

AHEAD_S = 0.010
"""Seconds of work given to a slot ahead of need, so that its child never waits for us."""
MOST_AHEAD = 256
SHORT_S = 0.1
"""Tasks shorter than this have their successor at hand when they end."""
STUCK_S = 0.1
"""A slot whose task runs for longer has none behind it: other slots may be free."""
REVIEW_S = 0.2
"""How often it is asked whether something has been waiting for too long."""
LOG_S = 2.0
"""How often the output of a running task is taken up."""


class Slots(Protocol):
    """What a dispatcher drives: ``Pool``, and where there are no children, this process itself (``goque.testing``)."""

    def send(self, slot: int, program: Program, jobs: Sequence[Job]) -> None: ...
    def events(self, timeout: float | None = None) -> list[Event]: ...
    def wake(self) -> None: ...
    def recall(self, slot: int) -> list[Job]: ...
    def load(self, slot: int) -> int: ...
    def running(self, slot: int) -> tuple[Job, float] | None: ...
    def live_log(self, slot: int) -> str: ...
    def ask_to_stop(self) -> None: ...
    def stop(self, slot: int, task_id: int, why: Why) -> bool: ...
    def close(self) -> list[Event]: ...


class Dispatcher(Service):
    """Drives the pool from one thread. What other threads want of it they order, and it carries out."""

    def __init__(self, me: Me, pool: Slots, desk: Desk, roster: Roster, programs: Programs, ledger: Ledger) -> None:
        super().__init__("dispatcher", interval=0.0, jitter=0.0)
        self._me = me
        self._pool = pool
        self._desk = desk
        self._roster = roster
        self._programs = programs
        self._ledger = ledger
        self._slot_of: dict[int, int] = {}
        self._sent: dict[int, Held] = {}
        self._orders = threading.Lock()
        self._to_stop: dict[int, Why] = {}
        self._giving_way: set[int] = set()
        self._stuck: dict[int, tuple[int, float]] = {}
        """Slots whose task runs for long: its lane, and for how many seconds."""
        self._reviewed_at = 0.0
        self._logged_at = 0.0
        self._asked_to_stop = False
        self.retired = False
        """Starts nothing any more."""

    # Orders, from any thread

    def stop_running(self, tasks: Sequence[int], why: Why) -> None:
        """Stop the code of these tasks, or do not start it."""
        with self._orders:
            self._to_stop.update(dict.fromkeys(tasks, why))
        self._pool.wake()

    def give_way(self, lanes: Iterable[int]) -> None:
        """Hand back what is buffered of these lanes."""
        with self._orders:
            self._giving_way.update(lanes)
        self._pool.wake()

    def retire(self) -> None:
        """Start nothing more and hand back what has not begun; what runs goes on, and may see that it is to stop."""
        self.retired = True
        self._pool.wake()

    def hand_back_running(self) -> None:
        """Stop what still runs, and hand it back."""
        self.stop_running([held.id for held in self._desk.everything()], "handed_back")

    def wake(self) -> None:
        super().wake()
        self._pool.wake()

    # The loop

    def run_once(self) -> float | None:
        self._carry_out_orders()
        if not self.retired and self._me.well:
            self._fill()
        events = self._pool.events(0.05 if self._slot_of else 0.5)
        if events:
            self._handle(events)
        self._observe()
        self._review()
        return 0.0

    def on_stop(self) -> None:
        self.retired = True  # what comes back from the pool is handed back, not kept for later
        self._handle(self._pool.close())
        self._desk.unstarted(self._desk.withdraw())

    def count_running(self) -> int:
        """How many tasks are in slots."""
        return len(self._slot_of)

    def _fill(self) -> None:
        slots = sorted(range(self._roster.slots), key=self._pool.load)
        for slot in slots:
            load = self._pool.load(slot)
            taken = self._desk.take_ready(None, 1) if load == 0 else []
            if not taken and load == 0:
                return
            if taken and taken[0].alone:
                self._send(slot, taken)
                continue
            if slot in self._stuck:
                continue
            lane = taken[0].lane if taken else self._desk.next_lane()
            if lane is None:
                return
            more = self._room(lane, load + len(taken))
            if more > 0:
                ready, _, _ = self._desk.load()
                fair = -(-ready // len(slots))
                taken += self._desk.take_ready(lane, min(more, max(fair, 1)))
            if taken:
                self._send(slot, taken)

    def _room(self, lane: int, load: int) -> int:
        """How many tasks of this lane a slot with this load may be given ahead."""
        pace = self._roster.pace(lane)
        if pace is None:
            return 1 - load
        ahead = min(MOST_AHEAD, int(AHEAD_S / pace))
        return max(ahead, 2 if pace < SHORT_S else 1) - load

    def _send(self, slot: int, tasks: list[Held]) -> None:
        """Give tasks to a slot; they are of one lane, but for one that is alone."""
        by_lane: dict[int, list[Held]] = {}
        for held in tasks:
            by_lane.setdefault(held.lane, []).append(held)
        for lane, some in by_lane.items():
            program = self._programs[lane].program
            assert program is not None
            jobs = []
            for held in some:
                self._slot_of[held.id] = slot
                self._sent[held.id] = held
                held.submissions = None  # those of a run that was cut short by its child's death
                jobs.append(self._programs.job(held, held.args or b""))
                held.args = None if len(held.args or b"") > 65_536 else held.args
            self._pool.send(slot, program, jobs)

    def _handle(self, events: list[Event]) -> None:
        ended: list[Ended] = []
        now = time.monotonic()
        for event in events:
            if isinstance(event, Finished):
                self._slot_of.pop(event.job.task_id, None)
                held = self._sent.pop(event.job.task_id, None)
                if held is None or held.run != event.job.run:
                    continue
                if event.outcome.kind == "unloadable":
                    self._cannot_load(held, event.outcome.module)
                else:
                    ended.append(Ended(held, self._judged(held, event.outcome), now))
            elif isinstance(event, Returned):
                self._take_back(event, ended)
            elif isinstance(event, Progressed):
                if held := self._desk.find(event.job.task_id):
                    held.progress = {"done": event.done, "total": event.total, "note": event.note}
            elif isinstance(event, Checkpointed) and (held := self._desk.find(event.job.task_id)):
                held.new_checkpoint = event.state
            elif isinstance(event, Submitted) and (held := self._sent.get(event.job.task_id)):
                held.submissions = held.submissions or []
                held.submissions.append(event.submission)
        if ended:
            self._desk.ended(ended)

    def _take_back(self, event: Returned, ended: list[Ended]) -> None:
        again: list[Held] = []
        unstarted: list[Held] = []
        for job in event.jobs:
            self._slot_of.pop(job.task_id, None)
            held = self._sent.pop(job.task_id, None)
            if held is None or held.run != job.run:
                continue
            held.running_since = None
            if held.args is None:
                held.args = job.args
            if event.died:
                held.suspect = True
            if held.stop == "canceled":
                ended.append(Ended(held, Outcome("canceled")))
            elif self.retired:
                unstarted.append(held)
            else:
                again.append(held)
        self._desk.put_back(again)
        if unstarted:
            self._desk.unstarted(unstarted)

    def _judged(self, held: Held, outcome: Outcome) -> Outcome:
        """With the delay that the policy wants, where no child was left to ask it."""
        if outcome.kind not in ("timeout", "crash"):
            return outcome
        retry, timed_out = self._programs[held.lane].retry, outcome.kind == "timeout"
        return outcome._replace(retry_in=without_child(retry, held.attempts + 1, timed_out=timed_out))

    def _cannot_load(self, held: Held, module: str) -> None:
        """A module is missing here: the worker's fault, which charges nothing."""
        log.warning(
            "lane %s needs the module %r, which this worker lacks; leaving it to others",
            held.lane,
            module,
            extra={"task": held.id, "run": held.run, "type": self._programs[held.lane].row.type},
        )
        self._ledger.lacks(held.lane, module)
        self._roster.drop(held.lane)
        self._desk.unstarted([held])
        self.give_way([held.lane])

    def _carry_out_orders(self) -> None:
        with self._orders:
            to_stop, self._to_stop = self._to_stop, {}
            lanes, self._giving_way = self._giving_way, set()
        if self.retired:
            self._desk.unstarted(self._desk.withdraw())
            self._recall(None)
            if not self._asked_to_stop:
                self._asked_to_stop = True
                self._pool.ask_to_stop()
        if lanes:
            self._desk.unstarted(self._desk.withdraw(h.id for h in self._desk.everything() if h.lane in lanes))
            self._recall(lanes)
        for task, why in to_stop.items():
            self._stop(task, why)

    def _recall(self, lanes: set[int] | None) -> None:
        """Take back what slots have not begun, and hand back that of these lanes (None: all of it)."""
        for slot in sorted(set(self._slot_of.values())):
            waiting = self._recalled(slot)
            self._desk.put_back(held for held in waiting if lanes is not None and held.lane not in lanes)
            if unstarted := [held for held in waiting if lanes is None or held.lane in lanes]:
                self._desk.unstarted(unstarted)

    def _recalled(self, slot: int) -> list[Held]:
        """What a slot has not begun, taken back from it."""
        back = []
        for job in self._pool.recall(slot):
            self._slot_of.pop(job.task_id, None)
            held = self._sent.pop(job.task_id, None)
            if held is not None:
                held.args = held.args if held.args is not None else job.args
                back.append(held)
        return back

    def _stop(self, task: int, why: Why) -> None:
        held = self._desk.find(task)
        if held is None or (held.stop is not None and why != "canceled"):
            return
        held.stop = why
        withdrawn = self._desk.withdraw([task])
        if withdrawn:
            if why == "canceled":
                self._desk.ended([Ended(held, Outcome("canceled"))])
            else:
                self._desk.unstarted(withdrawn)
        elif (slot := self._slot_of.get(task)) is not None:
            self._pool.stop(slot, task, why)

    def _observe(self) -> None:
        """Note what has been running for a while, for the completer to mark and to show."""
        now = time.monotonic()
        take_logs = now - self._logged_at >= LOG_S
        if take_logs:
            self._logged_at = now
        self._stuck = {}
        for slot in set(self._slot_of.values()):
            running = self._pool.running(slot)
            if running is None:
                continue
            job, seconds = running
            held = self._desk.find(job.task_id)
            if held is None:
                continue
            if seconds > STUCK_S:
                self._stuck[slot] = held.lane, seconds
            if held.running_since is None:
                held.running_since = now - seconds
            if take_logs and seconds > LOG_S / 2:
                held.live_log = self._pool.live_log(slot)

    def _review(self) -> None:
        """Nothing waits behind a task that takes long: other slots take it, and if none is free, other workers."""
        now = time.monotonic()
        if now - self._reviewed_at < REVIEW_S:
            return
        self._reviewed_at = now
        for slot in self._stuck:
            if self._pool.load(slot) > 1:
                self._desk.put_back(self._recalled(slot))
        if overdue := self._desk.withdraw_overdue(now - PATIENCE_S):
            for lane, seconds in self._stuck.values():
                self._roster.takes_longer(lane, seconds)
            self._desk.unstarted(overdue)

"""Everything a worker holds, under one lock: what is ready to be run, what runs, what has ended and is not yet written.

Not for: deciding (``claimer``, ``dispatcher``, ``completer``) or doing (``pool``). The claimer brings tasks, the
dispatcher takes them and brings outcomes, the completer takes those. None waits for another while it holds the lock.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from goque.model.eligibility import Eligibility
from goque.model.outcomes import Outcome
from goque.queries.enqueue import Single
from goque.worker.channel.jobs import Submission

LOW = 64
"""With fewer tasks ready than this, the claimer is told that there is room."""
WORTH_WRITING = 512
"""Outcomes that are written without waiting for more."""
MOST_BYTES = 64 * 1024 * 1024
"""Results, and tasks that were asked for, that are written at once, unless a single outcome takes more."""
ROW_BYTES = 4096
"""What a task is taken to cost beside its arguments."""


@dataclass(eq=False)
class Held:
    """A task that this worker has claimed and not yet ended. ``args`` is verified; None while it is to be fetched.

    One is made for every task. So the first fields are those of ``queries.claim.Claimed``, in their order, and what
    most tasks never have is an attribute of the class until it changes.
    """

    id: int
    lane: int
    run: int
    attempts: int
    max_attempts: int
    losses: int
    ready_at: int
    """When it became ready, in microseconds since 1970 on the database's clock."""
    metadata: dict[str, Any] | None
    checkpoint: bytes | None
    expired: bool
    args: bytes | None
    scheduled: datetime | None
    """The slot of its schedule."""
    traceparent: str | None
    """The span in which it was sent alone; those of a map have their lane's."""
    claim: int
    since: float
    """``time.monotonic()`` at which it was claimed."""
    args_bytes: int = field(default=0, init=False)
    started: bool = field(default=False, init=False)
    """``processing`` is committed."""
    running_since: float | None = field(default=None, init=False)
    """``time.monotonic()`` at which it was first seen running."""
    stop: str | None = field(default=None, init=False)
    """Why it is being stopped: canceled, timeout or handed_back."""
    suspect: bool = field(default=False, init=False)
    """It ran beside others in a child that died."""
    progress: dict[str, Any] | None = field(default=None, init=False)
    new_checkpoint: bytes | None = field(default=None, init=False)
    live_log: str = field(default="", init=False)
    submissions: list[Submission] | None = field(default=None, init=False)
    """Tasks that its code asked for; None where it did not."""
    spawned: list[Single] | None = field(default=None, init=False)
    """The same, signed and ready to be stored."""
    over: bool = field(default=False, init=False)
    """Its end is written, or it is another's by now."""

    @property
    def asked_bytes(self) -> int:
        """What storing the tasks that it asked for takes, about."""
        return sum(ROW_BYTES + len(call) for one in self.submissions or () for call in one.calls)

    @property
    def takes_external_ids(self) -> bool:
        """Whether tasks that it asked for have some, for which somebody's open transaction may have to be waited."""
        return any(one.external_ids for one in self.submissions or ())

    @property
    def alone(self) -> bool:
        """Whether it may have been what ended its last worker or child, so that it gets a child of its own."""
        return self.losses > 0 or self.suspect


@dataclass(slots=True)
class Ended:
    """A run that is over, and whose outcome is not yet written."""

    held: Held
    outcome: Outcome
    at: float = field(default_factory=time.monotonic)
    refusals: int = 0
    """How often PostgreSQL has refused to store it; from the first one on it is written by itself."""


@dataclass(slots=True)
class Me:
    """Who this worker is to the database. A worker that was declared lost registers anew and gets another id."""

    id: int
    eligibility: Eligibility
    well_until: float = math.inf
    """``time.monotonic()`` up to which nobody can have declared us lost; after it we start nothing."""

    @property
    def well(self) -> bool:
        """Whether we may start and claim."""
        return time.monotonic() < self.well_until


class Desk:
    """The tasks in a worker's hands. All methods may be called from any thread."""

    def __init__(self) -> None:
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        """Notified when the completer has something to write."""
        self.room = threading.Condition(lock)
        """Notified when the claimer may have room for more."""
        self._held: dict[int, Held] = {}
        self._ready: deque[Held] = deque()
        self._ended: list[Ended] = []
        self._unstarted: list[Held] = []
        self._over = 0
        """Held tasks that have ended or go back, those included that are just being written."""
        self._lanes: Counter[int] = Counter()
        self._claims: Counter[int] = Counter()
        self._closed_claims: list[int] = []

    # the claimer's and the completer's side

    def claimed(self, tasks: Sequence[Held]) -> None:
        """Take in what a claim brought; it is ready once ``make_ready`` says so."""
        with self.changed:
            if not self._held:
                self.changed.notify_all()  # whoever held nothing has nothing to mark or to watch, and may sleep long
            self._held.update((held.id, held) for held in tasks)
            self._lanes.update(held.lane for held in tasks)
            self._claims.update(held.claim for held in tasks)

    def make_ready(self, tasks: Iterable[Held]) -> None:
        """These may be started now."""
        with self.changed:
            self._ready.extend(tasks)

    def ended(self, outcomes: Iterable[Ended]) -> None:
        """Outcomes to be written."""
        with self.changed:
            before = len(self._ended)
            self._ended.extend(outcomes)
            self._over += len(self._ended) - before
            # Waking the completer for each of them would cost more than writing them.
            if not before or len(self._ended) >= WORTH_WRITING:
                self.changed.notify_all()

    def unstarted(self, tasks: Iterable[Held]) -> None:
        """Tasks to be handed back that have not been started."""
        with self.changed:
            before = len(self._unstarted)
            self._unstarted.extend(tasks)
            self._over += len(self._unstarted) - before
            self.changed.notify_all()

    def outgoing(self, most: int) -> tuple[list[Ended], list[Held], list[int]]:
        """Outcomes, unstarted tasks and finished claims to write now; what could not be written is given back."""
        with self.changed:
            most_ended = self._within(most)
            ended, self._ended = self._ended[:most_ended], self._ended[most_ended:]
            unstarted, self._unstarted = self._unstarted[:most], self._unstarted[most:]
            claims, self._closed_claims = self._closed_claims, []
            return ended, unstarted, claims

    def _within(self, most: int) -> int:
        """How many outcomes fit into one statement: a message to PostgreSQL ends at 1 GiB."""
        size = 0
        for number, one in enumerate(self._ended[:most]):
            size += len(one.outcome.result or b"")
            if one.held.submissions:
                size += one.held.asked_bytes
            if size > MOST_BYTES and number:
                return number
        return most

    def written(self, tasks: Iterable[Held]) -> None:
        """These are over for this worker."""
        with self.changed:
            over = []
            for held in tasks:
                if held.over:
                    continue
                held.over = True
                over.append(held)
                # Handed back and claimed again at once, a later run of it may stand in its place.
                if self._held.get(held.id) is held:
                    del self._held[held.id]
            self._over -= len(over)
            _take_off(self._lanes, Counter(held.lane for held in over))
            self._closed_claims += _take_off(self._claims, Counter(held.claim for held in over))
            if len(self._ready) < LOW:
                self.room.notify_all()

    def unwritten(self, ended: list[Ended], unstarted: list[Held], claims: list[int]) -> None:
        """Could not be written; they come first next time."""
        with self.changed:
            self._ended[:0] = ended
            self._unstarted[:0] = unstarted
            self._closed_claims.extend(claims)

    # the dispatcher's side

    def take_ready(self, lane: int | None, most: int) -> list[Held]:
        """The next tasks of one lane (the first one's, if ``lane`` is None), as far as they lie together."""
        with self.changed:
            if not self._ready:
                return []
            ready = self._ready
            taken = [ready.popleft()] if lane is None or ready[0].lane == lane else []
            if taken and not taken[0].alone:
                wanted = taken[0].lane
                while ready and len(taken) < most and ready[0].lane == wanted and not ready[0].alone:
                    taken.append(ready.popleft())
            if len(self._ready) < LOW:
                self.room.notify_all()
            return taken

    def next_lane(self) -> int | None:
        """The lane of the next ready task; None when there is none, or when it must be alone."""
        with self.changed:
            return self._ready[0].lane if self._ready and not self._ready[0].alone else None

    def put_back(self, tasks: Iterable[Held]) -> None:
        """Taken, but not started after all; they come first."""
        with self.changed:
            self._ready.extendleft(reversed(list(tasks)))

    def withdraw(self, wanted: Iterable[int] | None = None) -> list[Held]:
        """Take ready tasks away, all of them or those with these ids."""
        with self.changed:
            if wanted is None:
                taken = list(self._ready)
                self._ready.clear()
                return taken
            ids = set(wanted)
            taken = [held for held in self._ready if held.id in ids]
            if taken:
                self._ready = deque(held for held in self._ready if held.id not in ids)
            return taken

    def withdraw_overdue(self, before: float) -> list[Held]:
        """Take away what was claimed before that time (``time.monotonic()``), but for what needs its own child."""
        with self.changed:
            overdue = [held for held in self._ready if held.since < before and not held.alone]
            if overdue:
                self._ready = deque(held for held in self._ready if held.since >= before or held.alone)
            return overdue

    # questions

    def to_write(self) -> tuple[int, float]:
        """How many outcomes and returned tasks wait to be written, and since when (``time.monotonic()``)."""
        with self.changed:
            since = self._ended[0].at if self._ended else time.monotonic()
            return len(self._ended) + len(self._unstarted), since

    def find(self, task: int) -> Held | None:
        """The task, if it is held."""
        with self.changed:
            return self._held.get(task)

    def holds(self, task: int, run: int) -> bool:
        """Whether this run of the task is in our hands."""
        held = self.find(task)
        return held is not None and held.run == run

    def everything(self) -> list[Held]:
        """All held tasks, ended and unwritten ones included."""
        with self.changed:
            return list(self._held.values())

    def by_lane(self) -> list[tuple[int, int]]:
        """How many tasks of each lane are held."""
        with self.changed:
            return list(self._lanes.items())

    def load(self) -> tuple[int, int, int]:
        """How many are ready, how many have ended and are not yet written, and how many are held in all."""
        with self.changed:
            return len(self._ready), self._over, len(self._held)

    @property
    def idle(self) -> bool:
        """Whether nothing is held and nothing waits to be written."""
        with self.changed:
            return not self._held and not self._ended and not self._unstarted

    def forget(self) -> None:
        """Drop everything: another worker has it now."""
        with self.changed:
            for collection in (self._held, self._ready, self._ended, self._unstarted, self._lanes, self._claims):
                collection.clear()
            self._over = 0
            self._closed_claims.clear()


def _take_off(counts: Counter[int], off: Counter[int]) -> list[int]:
    """Count so many less of each; gives back those of which none is left, and forgets them."""
    counts.subtract(off)
    gone = [key for key in off if not counts[key]]
    for key in gone:
        del counts[key]
    return gone

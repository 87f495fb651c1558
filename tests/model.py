"""A small model of a queue beside the real statements: what each act should do, and that it did.

The model knows no SQL: a dictionary of tasks and what each act does to them. After every act the rows must be what the
model says, and all that must always hold must hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from goque.maintenance import cleaner
from goque.model.identity import task_id
from goque.model.states import FINAL, MAX_HANDBACKS, MAX_LOSSES, RunOutcome, Status
from goque.queries import cancel, duplicates, pause, retry, upkeep, workers
from goque.queries.claim import Claimed
from tests.rig import BATCH, Rig, Worker

TABLES = "task, run, claim, tally, worker, lane, batch, dependency, external_id, queue, deleted_batch"
WORKERS = 2
NUMBERS = st.integers(0, 5)
CHARGED = 1
TOTAL = 1_000
DONE = (Status.DONE, Status.ATTEMPTS_LEFT)
EXTERNAL = ("order-1", "order-2")


@dataclass(slots=True)
class Modeled:
    """One task as it should be."""

    status: Status = Status.NEW
    run: int = 0
    attempts: int = 0
    max_attempts: int = 2
    losses: int = 0
    handbacks: int = 0
    holder: int | None = None
    """The worker that has it or, of a canceled one, whose code may still run."""
    waits: bool = False
    """For its time."""
    external: str | None = None
    same_as: int | None = None
    """The task whose outcome it shares, which has its external id."""
    edge: bool = False
    """It has not been released yet."""

    @property
    def ready(self) -> bool:
        return self.status in (Status.NEW, Status.ERROR) and self.holder is None and not self.waits

    def back(self, status: Status, *, waits: bool = False) -> None:
        self.status, self.holder, self.waits = status, None, waits


class Queue(RuleBasedStateMachine):
    """Acts on a queue, and on its model."""

    rig: ClassVar[Rig]
    connection: ClassVar[psycopg.Connection[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.tasks: dict[int, Modeled] = {}
        self.claimed: list[tuple[Worker, Claimed]] = []
        self.paused = False
        self.dead: set[int] = set()
        self.missed: dict[int, int] = {}
        self.records: dict[tuple[int, int], RunOutcome] = {}
        self.holders: dict[str, int] = {}
        """Who has an external id."""
        self.place = 0

    @initialize()
    def empty(self) -> None:
        for table in TABLES.split(", "):
            self.connection.execute(f"delete from goque.{table}".encode())
        self.lane = self.rig.lane()
        self.rig.batch(TOTAL)
        self.workers = [self.new_worker() for _ in range(WORKERS)]
        # Hypothesis leaves some acts out of each sequence; without these two, most others would do nothing.
        for id in self.rig.tasks(self.lane, 4, first=self.next_places(4), max_attempts=2):
            self.tasks[id] = Modeled()
        self.claim_some(0, 2)
        self.claim_some(1, 1)

    def teardown(self) -> None:
        for worker in getattr(self, "workers", ()):
            worker.connection.close()

    def new_worker(self) -> Worker:
        worker = self.rig.worker()
        self.missed[worker.id] = 0
        return worker

    def end(self, id: int, status: Status, *, waits: bool = False) -> None:
        """A task gets a new status; one that failed for good, or was canceled, gives its external id up."""
        task = self.tasks[id]
        task.back(status, waits=waits)
        if status in (Status.ATTEMPTS_LEFT, Status.CANCELED) and self.holders.get(task.external or "") == id:
            del self.holders[task.external or ""]

    def next_places(self, number: int) -> int:
        """Places in the batch are used once, also after it was deleted."""
        self.place += number
        return self.place - number

    def record(self, id: int, outcome: RunOutcome) -> None:
        self.records[id, self.tasks[id].run] = outcome

    # Acts

    @rule(which=st.sampled_from(EXTERNAL))
    def enqueue_once(self, which: str) -> None:
        """A second task with an external id that is taken shares the outcome of the first."""
        place = self.next_places(1)
        id = task_id(BATCH, place)
        taken = self.rig.database.first(duplicates.take_external_id("f", which, id))
        assert (taken is None) == (which in self.holders)
        if taken is not None:
            self.rig.tasks(self.lane, 1, first=place, external_id=which, max_attempts=2)
            self.tasks[id] = Modeled(external=which)
            self.holders[which] = id
            return
        holder = self.holders[which]
        assert self.rig.database.one(duplicates.holder("f", which)) == holder
        assert self.rig.follower(self.lane, holder, place) == id
        self.tasks[id] = Modeled(Status.PENDING, max_attempts=3, same_as=holder, edge=True)

    @rule()
    def share(self) -> None:
        """Whoever ended a task, or the sweeper, gives its outcome on."""
        released = set(self.rig.database.all(duplicates.share(list(self.tasks))))
        due = set()
        for id, task in self.tasks.items():
            if task.edge and self.tasks[task.same_as or 0].status in FINAL:
                task.edge = False
                if task.status is Status.PENDING:
                    task.status = self.tasks[task.same_as or 0].status
                    due.add(id)
        assert released == due

    @rule(number=st.integers(1, 3), delayed=st.booleans())
    def enqueue(self, number: int, delayed: bool) -> None:
        delay = 0.0 if delayed else None
        for id in self.rig.tasks(self.lane, number, first=self.next_places(number), delay=delay, max_attempts=2):
            self.tasks[id] = Modeled(Status.PENDING if delayed else Status.NEW, waits=delayed)

    @rule(who=st.integers(0, WORKERS - 1), want=st.integers(1, 3))
    def claim(self, who: int, want: int) -> None:
        self.claim_some(who, want)

    def claim_some(self, who: int, want: int) -> None:
        worker = self.workers[who]
        found = worker.claim(self.lane, want)
        ready = [id for id, task in self.tasks.items() if task.ready]
        assert {one.id for one in found} <= set(ready)
        assert len(found) == (0 if self.paused else min(want, len(ready)))
        for one in found:
            task = self.tasks[one.id]
            task.run += 1
            task.holder = worker.id
            assert (one.run, one.attempts, one.losses) == (task.run, task.attempts, task.losses)
            self.claimed.append((worker, one))

    def token(self, number: int, *, canceled: bool = False) -> tuple[Worker, Claimed, Modeled, bool] | None:
        """Some claim of the past, its task, and whether the fence lets its worker write."""
        # Of tasks that can still be written, or everything would soon be past its fence.
        open_ones = [(worker, one) for worker, one in self.claimed if self.tasks[one.id].status not in DONE]
        if not open_ones:
            return None
        worker, one = open_ones[-1 - number % len(open_ones)]
        task = self.tasks[one.id]
        open_ = task.status is Status.CANCELED if canceled else task.status not in FINAL
        return worker, one, task, open_ and task.holder == worker.id and task.run == one.run

    @rule(number=NUMBERS)
    def start(self, number: int) -> None:
        if (found := self.token(number)) is None:
            return
        worker, one, task, mine = found
        mine = mine and task.status is not Status.PROCESSING
        assert bool(worker.start(one)) == mine
        if mine:
            task.status = Status.PROCESSING

    @rule(number=NUMBERS)
    def succeed(self, number: int) -> None:
        if (found := self.token(number)) is None:
            return
        worker, one, task, mine = found
        assert bool(worker.succeed(one)) == mine
        if mine:
            task.back(Status.DONE)
            task.attempts += CHARGED
            task.losses = 0

    @rule(number=NUMBERS)
    def fail(self, number: int) -> None:
        if (found := self.token(number)) is None:
            return
        worker, one, task, mine = found
        ended = worker.fail(one)
        assert bool(ended) == mine
        if mine:
            task.attempts += CHARGED
            final = task.attempts >= task.max_attempts
            self.record(one.id, RunOutcome.ERROR)
            self.end(one.id, Status.ATTEMPTS_LEFT if final else Status.ERROR, waits=not final)
            task.losses = 0
            assert ended == {one.id: task.status}

    @rule(number=NUMBERS)
    def snooze(self, number: int) -> None:
        if (found := self.token(number)) is None:
            return
        worker, one, task, mine = found
        assert bool(worker.snooze(one)) == mine
        if mine:
            self.record(one.id, RunOutcome.SNOOZED)
            task.back(Status.PENDING, waits=True)
            task.losses = 0

    @rule(number=NUMBERS)
    def stop(self, number: int) -> None:
        if (found := self.token(number)) is None:
            return
        worker, one, task, mine = found
        assert bool(worker.stop(one)) == mine
        if mine:
            task.handbacks += 1
            self.record(one.id, RunOutcome.HANDED_BACK)
            self.end(one.id, Status.ATTEMPTS_LEFT if task.handbacks >= MAX_HANDBACKS else Status.NEW)
            task.losses = 0

    @rule(number=NUMBERS)
    def hand_back(self, number: int) -> None:
        if (found := self.token(number)) is None:
            return
        worker, one, task, mine = found
        assert bool(worker.hand_back(one)) == mine
        if mine:
            task.back(Status.NEW if task.status is Status.PROCESSING else task.status)

    @rule(number=NUMBERS)
    def settle(self, number: int) -> None:
        if (found := self.token(number, canceled=True)) is None:
            return
        worker, one, task, mine = found
        assert bool(worker.settle(one)) == mine
        if mine:
            self.record(one.id, RunOutcome.CANCELED)
            task.holder = None

    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        if not self.tasks:
            return
        id = list(self.tasks)[-1 - number % len(self.tasks)]
        task = self.tasks[id]
        assert bool(self.rig.cancel(id)) == (task.status not in FINAL)
        self.cancel_modeled(id)

    def cancel_modeled(self, id: int) -> None:
        task = self.tasks[id]
        if task.status not in FINAL:
            holder = task.holder
            self.end(id, Status.CANCELED)
            task.holder = holder  # its code may still run

    @rule()
    def cancel_all(self) -> None:
        live = {id for id, task in self.tasks.items() if task.status not in FINAL}
        first, last = task_id(BATCH, 0), task_id(BATCH, self.place)
        assert set(self.rig.database.all(cancel.cancel_within([(first, last)], "all"))) == live
        for id in live:
            self.cancel_modeled(id)

    @rule(number=NUMBERS, reset=st.booleans(), force=st.booleans())
    def retry(self, number: int, reset: bool, force: bool) -> None:
        if not self.tasks:
            return
        id = list(self.tasks)[-1 - number % len(self.tasks)]
        task = self.tasks[id]
        answer = self.rig.retry(id, reset=reset, force=force)
        over = task.status in (Status.ATTEMPTS_LEFT, Status.CANCELED, Status.ERROR)
        if not over and not (task.status is Status.DONE and force):
            assert answer == {}
        elif task.holder is not None and task.status is not Status.DONE:
            assert answer == {id: retry.Skip.STOPPING}
        elif task.same_as is not None:
            assert answer == {id: retry.Skip.FOLLOWER}
        elif task.external is not None and self.holders.get(task.external, id) != id:
            assert answer == {id: retry.Skip.DUPLICATE}
        else:
            assert answer == {id: None}
            if task.external is not None:
                self.holders[task.external] = id
            if task.status is Status.DONE:
                self.record(id, RunOutcome.DONE)
            task.back(Status.ERROR if task.status is Status.ERROR else Status.NEW)
            task.attempts = 0 if reset else task.attempts
            task.max_attempts = max(task.max_attempts, task.attempts + 1)
            task.losses = task.handbacks = 0

    @rule(who=st.integers(0, WORKERS - 1))
    def lose(self, who: int) -> None:
        worker = self.workers[who]
        self.rig.lose(worker.id)
        self.dead.add(worker.id)
        worker.connection.close()  # it opens another when it comes back late
        self.workers[who] = self.new_worker()

    @rule(who=st.integers(0, WORKERS - 1), times=st.integers(1, workers.LOOKS), beats=st.booleans())
    def look(self, who: int, times: int, beats: bool) -> None:
        """One worker looks some times, the other may be well once before; who is missing too often is lost."""
        worker, other = self.workers[who], self.workers[1 - who]
        if beats:
            self.connection.execute(
                "update goque.maintenance set last_at = now() where name = 'heal'"
            )  # no look is due
            assert other.beat() == [other.id]
            self.missed[other.id] = 0
        for _ in range(times):
            self.connection.execute("update goque.maintenance set last_at = 'epoch' where name = 'heal'")
            alive = {id for id in self.missed if id not in self.dead and id != worker.id}
            itself, *lost = worker.beat()
            assert itself == worker.id
            self.missed[worker.id] = 0
            for id in alive:
                self.missed[id] += 1
            assert set(lost) == {id for id in alive if self.missed[id] >= workers.LOOKS}
            self.dead |= set(lost)
        if other.id in self.dead:
            other.connection.close()
            self.workers[1 - who] = self.new_worker()

    @rule()
    def heal(self) -> None:
        self.rig.heal()
        for id, task in self.tasks.items():
            if task.holder not in self.dead or task.holder is None:
                continue
            if task.status is Status.CANCELED:
                self.record(id, RunOutcome.CANCELED)
                task.holder = None
                task.losses += 1
                continue
            ran = task.status is Status.PROCESSING
            self.record(id, RunOutcome.LOST if ran else RunOutcome.LOST_UNKNOWN)
            task.attempts += CHARGED if ran else 0
            task.losses += 1
            if (ran and task.attempts >= task.max_attempts) or task.losses >= MAX_LOSSES:
                self.end(id, Status.ATTEMPTS_LEFT)
            else:
                task.back(Status.ERROR if ran else task.status)

    @rule(who=st.integers(0, WORKERS - 1), late=st.sampled_from(["succeed", "fail", "hand_back", "start", "stop"]))
    def come_back_late(self, who: int, late: str) -> None:
        """A worker that was lost writes about what another has by now."""
        before = self.workers[who]
        held = [one for worker, one in self.claimed if worker is before and self.tasks[one.id].holder == worker.id]
        self.lose(who)
        self.heal()
        self.claim_some(1 - who, 3)
        for one in held:
            assert not getattr(before, late)(one)
        before.connection.close()

    @rule()
    def promote(self) -> None:
        due = {id for id, task in self.tasks.items() if task.waits}
        assert set(self.rig.promote()) == due
        for id in due:
            task = self.tasks[id]
            task.back(Status.NEW if task.status is Status.PENDING else task.status)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.rig.database.run(pause.pause_batch(BATCH, paused))
        self.paused = paused

    @rule()
    def delete(self) -> None:
        """The batch goes whole, or stays as it was; another takes its place."""
        idle = all(task.status in FINAL and task.holder is None for task in self.tasks.values())
        assert cleaner.delete_batch(self.rig.database, BATCH, cleaner.is_idle) == idle
        if idle:
            assert cleaner.delete_tasks(self.rig.database, BATCH, TOTAL) == len(self.tasks)
            for known in (self.tasks, self.claimed, self.records, self.holders):
                known.clear()
            assert self.rig.rows() == {}
            assert self.connection.execute("select from goque.dependency").fetchall() == []
            self.paused = False
            self.lane = self.rig.lane()
            self.rig.batch(TOTAL)

    @rule()
    def fold(self) -> None:
        self.rig.database.run(upkeep.fold(crowd=1))

    # What must hold

    @invariant()
    def rows_are_as_they_should_be(self) -> None:
        rows = self.rig.rows() if self.tasks else {}
        for id, task in self.tasks.items():
            row = rows[id]
            is_held = row.seq is not None and row.seq < 0 and row.status != "done"
            found = (row.status, row.run, row.attempts, row.max_attempts, row.losses, row.handbacks)
            due = (task.status, task.run, task.attempts, task.max_attempts, task.losses, task.handbacks)
            assert found == due, f"{id}: {found} should be {due}"
            assert (row.worker_id if is_held else None) == task.holder
            assert (row.seq is not None and row.seq > 0) == task.ready

    @invariant()
    def every_run_that_did_not_succeed_has_one_record(self) -> None:
        found = self.connection.execute("select task_id, run, outcome from goque.run").fetchall()
        assert {(id, run): outcome for id, run, outcome in found} == self.records
        assert len(found) == len(self.records)

    @invariant()
    def external_ids_are_of_the_live_and_the_done(self) -> None:
        found = self.connection.execute("select external_id, task_id from goque.external_id").fetchall()
        assert dict(found) == self.holders

    @invariant()
    def nothing_is_broken(self) -> None:
        assert self.rig.broken() == []

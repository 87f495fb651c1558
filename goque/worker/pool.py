"""The pool: slots that run jobs in child processes, driven by one thread through ``send`` and ``events``. Not for: SQL.

Each slot has a line to a child. A process pool has a child per slot; a thread pool has one child with a line per slot,
and children of their own for jobs that must be alone. Children are replaced when they die or retire.
"""

from __future__ import annotations

import logging
import os
import selectors
import time
from collections.abc import Mapping, Sequence
from functools import partial

from goque.errors import InvalidInput
from goque.worker import capture
from goque.worker.children import Child, bury, make_child
from goque.worker.hatchery import Death, Hatchery, NotBorn, NurseryLost
from goque.worker.jobs import Event, Job, PoolKind, Program, Returned, Why
from goque.worker.lines import Line
from goque.worker.measures import resident
from goque.worker.protocol import Malformed
from goque.worker.slots import Slot

log = logging.getLogger("goque.worker")

INSPECTION = 0.25
"""Seconds between looks at the memory and logs of children that run something."""
ANSWER_TIME = 5.0
"""Seconds that an interrupted thread has to answer, and a retiring child to end, before the child is killed."""
_SOONEST = 0.005
_KILLED = 9


class Pool:
    """Runs jobs in children. Everything but ``wake`` belongs to one thread."""

    def __init__(
        self,
        slots: int,
        kind: PoolKind = "process",
        *,
        threads: int | None = 1,
        slot_environment: Sequence[Mapping[str, str]] = (),
        max_tasks_per_child: int | None = None,
        max_memory: int | None = None,
        answer_time: float = ANSWER_TIME,
    ) -> None:
        """``threads`` is what numeric libraries may start in each child (None: their choice), ``slot_environment`` are
        variables for each slot's child, ``max_memory`` is bytes of resident memory per child.
        """
        if slots < 1:
            raise InvalidInput(f"a pool needs at least one slot, not {slots}")
        if kind not in ("process", "thread"):
            raise InvalidInput(f"a pool is 'process' or 'thread', not {kind!r}")
        if slot_environment and (kind == "thread" or len(slot_environment) != slots):
            raise InvalidInput(f"give variables for each of the {slots} slots of a process pool, or for none")
        self.kind = kind
        self._slots = [Slot(number) for number in range(slots)]
        self._environments = slot_environment or [{}] * slots
        self._max_tasks = max_tasks_per_child
        self._max_memory = max_memory
        self._answer_time = answer_time
        self._hatchery = Hatchery(threads=threads)
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}
        self._of_line: dict[Line, Child] = {}
        self._home: Child | None = None
        self._out: list[Event] = []
        self._bell, self._clapper = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._clapper, False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._woken)
        self._next_look = 0.0
        self._inspected = 0.0
        self._misbirths = 0
        self._birth_at = 0.0
        self._running = False

    def start(self) -> None:
        """Start the nursery and all children.

        Raises:
            NurseryLost: it cannot be started.
        """
        self._start_nursery()
        self._running = True
        self._provide()

    def send(self, slot: int, program: Program, jobs: Sequence[Job]) -> None:
        """Give jobs to a slot. A second message behind the one that runs keeps the child from waiting."""
        self._slots[slot].add(program, jobs)
        self._flush(self._slots[slot])
        timeouts = [job.timeout for job in jobs if job.timeout is not None]
        if timeouts:
            self._next_look = min(self._next_look, time.monotonic() + min(timeouts))

    def events(self, timeout: float | None = None) -> list[Event]:
        """What happened. Waits up to ``timeout`` seconds (None: no limit) for something to happen, or for ``wake``."""
        now = time.monotonic()
        if now >= self._next_look:
            self._look(now)
        wait = 0.0 if self._out else max(self._next_look - time.monotonic(), 0.0)
        if timeout is not None:
            wait = min(wait, timeout)
        for key, _ in self._selector.select(wait):
            key.data()
        if time.monotonic() >= self._next_look:
            self._look(time.monotonic())
        events, self._out = self._out, []
        return events

    def wake(self) -> None:
        """Make ``events`` return; from any thread, also while it does not wait."""
        try:
            os.write(self._clapper, b"!")
        except OSError:
            return  # full: it will wake up; closed: there is nobody to wake

    def recall(self, slot: int) -> list[Job]:
        """Take back the jobs of a slot that have not begun. Each job is either among them or will be in an event."""
        return self._slots[slot].recall()

    def load(self, slot: int) -> int:
        """Jobs of this slot that have not ended, the running one included."""
        return self._slots[slot].load

    def running(self, slot: int) -> tuple[Job, float] | None:
        """The job that this slot runs, and for how many seconds by now."""
        line = self._slots[slot].line
        stamp = line.running() if line is not None else None
        if line is None or stamp is None:
            return None
        return line.live[stamp[0]], max(time.monotonic() - stamp[1], 0.0)

    def live_log(self, slot: int) -> str:
        """What the running job has printed and logged so far, head and tail."""
        line = self._slots[slot].line
        return capture.text(capture.read(line.log)) if line is not None and line.running() is not None else ""

    def pid(self, slot: int) -> int | None:
        """The process that serves this slot now."""
        line = self._slots[slot].line
        return None if line is None else self._of_line[line].pid

    def stop(self, slot: int, task_id: int, why: Why) -> bool:
        """Stop the code of a task. True: it was begun and has not ended, and its ``Finished`` will come.

        False: it has ended (its ``Finished`` comes or came), or had not begun: then it is in a ``Returned``, with what
        stood behind it.
        """
        place = self._slots[slot]
        line = place.line
        if back := place.recall():
            self._out.append(Returned(slot, back))
        serial = None if line is None else next((key for key, job in line.live.items() if job.task_id == task_id), None)
        if line is None or serial is None:
            return False
        child = self._of_line[line]
        self._receive(line)  # its answer may be there already
        if serial not in line.live:
            return False
        line.verdicts[serial] = why
        if child.kind == "process":
            self._kill(child, why)
        else:
            child.interrupt(line, serial)
            child.kill_at = child.kill_at or time.monotonic() + self._answer_time
            self._next_look = min(self._next_look, child.kill_at)
        return True

    def ask_to_stop(self, slot: int | None = None) -> None:
        """Set ``goque.context().stopping`` in what runs in this slot, or in every slot."""
        for place in self._slots if slot is None else [self._slots[slot]]:
            if place.line is not None:
                child = self._of_line[place.line]
                if slot is None:
                    child.ask_to_stop()
                elif (stamp := place.line.running()) is not None:
                    from goque.worker import stamps

                    stamps.ask_to_stop(child.stamp_file, place.line.index, stamp[0])

    def close(self, grace: float = 0.0) -> list[Event]:
        """End the pool: nothing new is begun, what runs has ``grace`` seconds to end and is then handed back."""
        events: list[Event] = []
        if self._running:
            self._running = False
            for place in self._slots:
                if back := place.recall():
                    self._out.append(Returned(place.number, back))
            self.ask_to_stop()
            end = time.monotonic() + grace
            while self._busy() and (left := end - time.monotonic()) > 0:
                events += self.events(min(left, 0.1))
            self._end_children(events)
        events += self._out
        self._out = []
        self._hatchery.close()
        self._selector.close()
        for descriptor in (self._bell, self._clapper):
            os.close(descriptor)
        return events

    # Children: birth, retirement, death.

    def _start_nursery(self) -> None:
        self._hatchery.start()
        self._selector.register(self._hatchery.socket, selectors.EVENT_READ, self._on_deaths)

    def _provide(self) -> None:
        """See to it that each slot has a line to a child that takes jobs."""
        if not self._running or time.monotonic() < self._birth_at:
            return
        try:
            if self.kind == "thread" and self._home is None:
                self._home = self._birth("thread", [place.number for place in self._slots])
            for place in self._slots:
                if place.line is None:
                    if self._home is not None:
                        place.line = self._home.lines[place.number]
                    else:
                        place.line = self._birth("process", [place.number]).lines[0]
                    self._flush(place)
        except NotBorn as error:
            log.warning("%s", error)
            self._back_off()
        except NurseryLost:
            self._nursery_lost()

    def _birth(self, kind: PoolKind, slots: list[int]) -> Child:
        environment = self._environments[slots[0]]
        child = make_child(self._hatchery, kind, slots, environment, self._max_tasks, self._max_memory)
        self._children[child.pid] = child
        for line in child.lines:
            self._of_line[line] = child
            self._selector.register(line.replies, selectors.EVENT_READ, partial(self._on_replies, line))
        if self._hatchery.has_news:
            self._next_look = 0.0
        return child

    def _back_off(self) -> None:
        """Do not fork in a tight loop when children die before they are of any use."""
        self._misbirths += 1
        self._birth_at = time.monotonic() + min(10.0, 0.05 * 2 ** min(self._misbirths, 10))
        self._next_look = min(self._next_look, self._birth_at)

    def _flush(self, place: Slot) -> None:
        """Give the slot's child what it may have."""
        while place.waiting:
            if self.kind == "thread" and (place.line is None or not place.line.live):
                self._choose_line(place)
            if not place.may_post:
                return
            place.post()
            assert place.line is not None
            if place.line.waiting_to_write:
                self._await_room(place.line)

    def _choose_line(self, place: Slot) -> None:
        """An idle slot of a thread pool goes home, or to a child of its own for a job that must be alone."""
        child = self._of_line[place.line] if place.line is not None else None
        if place.waiting and place.waiting[0].alone:
            if child is None or not child.dedicated:
                try:
                    own = self._birth("process", [place.number])
                except (NotBorn, NurseryLost):
                    self._back_off()
                    place.line = None
                    return
                own.dedicated = True
                place.line = own.lines[0]
        elif child is None or child.dedicated or child.retiring:
            if child is not None and child.dedicated:
                self._retire(child)
            place.line = None if self._home is None else self._home.lines[place.number]

    def _retire(self, child: Child) -> None:
        """No more jobs for this child; it ends when it has finished what it runs."""
        if child.retiring:
            return
        child.retiring = True
        for line in child.lines:
            if back := line.recall():
                self._out.append(Returned(line.slot, back))
        for line in child.lines:
            self._forget_room(line)
        child.finish()
        if child is self._home:
            self._home = None
            self._provide()
        for line in child.lines:
            self._release(line)
        child.kill_at = time.monotonic() + self._answer_time
        self._next_look = min(self._next_look, child.kill_at)

    def _release(self, line: Line) -> None:
        """The slot of a line that is done with leaves it."""
        place = self._slots[line.slot]
        if place.line is line and not line.live:
            place.line = None
            self._provide()

    def _kill(self, child: Child, reason: str) -> None:
        if not child.killed_for:
            child.killed_for = reason
            self._hatchery.kill(child.pid)

    def _on_deaths(self) -> None:
        try:
            deaths = self._hatchery.read()
        except NurseryLost:
            self._nursery_lost()
            return
        for death in deaths:
            self._bury(death)

    def _bury(self, death: Death) -> None:
        child = self._children.pop(death.pid, None)
        if child is None:
            return
        for line in child.lines:
            self._of_line.pop(line, None)
            self._forget(line.replies)
            self._forget_room(line)
        if child is self._home:
            self._home = None
        if bury(child, death, self._out):
            self._misbirths = 0
        elif self._running:
            log.warning("child %s died before it was of use (status %s): %s", death.pid, death.status, child.last_words)
            self._back_off()
        for line in child.lines:
            if self._slots[line.slot].line is line:
                self._slots[line.slot].line = None
        self._provide()

    def _nursery_lost(self) -> None:
        """Its children died with it. Start another one."""
        log.error("the process that starts the children is gone; starting another")
        self._forget_nursery()
        for pid in list(self._children):
            self._bury(Death(pid, _KILLED, 0.0, 0))
        self._back_off()

    def _forget_nursery(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.data == self._on_deaths:
                self._selector.unregister(key.fileobj)
        self._hatchery.close()

    # Replies.

    def _on_replies(self, line: Line) -> None:
        if line not in self._of_line:
            return  # its child was buried by an earlier event of the same round
        if not self._receive(line):
            self._forget(line.replies)  # the end; the nursery will tell of the death
        place = self._slots[line.slot]
        child = self._of_line.get(line)
        if child is None:
            return
        if line.tainted:
            self._retire(child)
        if child.retiring and not line.live:
            self._release(line)
        elif self._max_tasks is not None and child.kind == "thread" and child.served >= self._max_tasks:
            self._retire(child)
        if place.waiting:
            self._flush(place)

    def _receive(self, line: Line) -> bool:
        child = self._of_line[line]
        before = len(line.live)
        try:
            more = line.receive(self._out)
        except Malformed as error:
            log.error("child %s is killed: %s", child.pid, error)
            self._kill(child, str(error))
            more = False
        child.served += before - len(line.live)
        return more

    def _forget(self, descriptor: int) -> None:
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def _await_room(self, line: Line) -> None:
        if line.tasks not in self._selector.get_map():
            self._selector.register(line.tasks, selectors.EVENT_WRITE, partial(self._pump, line))

    def _forget_room(self, line: Line) -> None:
        if line.open:
            self._forget(line.tasks)

    def _pump(self, line: Line) -> None:
        if not line.pump():
            self._forget_room(line)

    def _woken(self) -> None:
        os.read(self._bell, 4096)

    # Looking after children that run something.

    def _look(self, now: float) -> None:
        """Timeouts, memory, floods of output, children that do not end, births that are due."""
        self._next_look = now + 60.0
        for death in self._hatchery.heard():
            self._bury(death)
        if self._birth_at and now >= self._birth_at:
            self._birth_at = 0.0
            self._revive()
        busy = False
        for child in list(self._children.values()):
            for line in child.lines:
                if line.live:
                    busy = True
                    self._check_timeout(child, line, now)
            self._check_end(child, now)
        if busy and now - self._inspected >= INSPECTION:
            self._inspected = now
            for child in list(self._children.values()):
                self._inspect(child)
        soon = self._inspected + INSPECTION if busy else self._next_look
        soon = min(soon, self._birth_at or soon)
        self._next_look = max(min(self._next_look, soon), time.monotonic() + _SOONEST)

    def _revive(self) -> None:
        try:
            self._hatchery.socket  # noqa: B018
        except NurseryLost:
            try:
                self._start_nursery()
            except NurseryLost as error:
                log.error("%s", error)
                self._back_off()
                return
        self._provide()

    def _check_timeout(self, child: Child, line: Line, now: float) -> None:
        timeouts = [job.timeout for job in line.live.values() if job.timeout is not None]
        if not timeouts or child.killed_for:
            return
        due = now + min(timeouts)
        stamp = line.running()
        if stamp is not None:
            job = line.live[stamp[0]]
            if job.timeout is not None and stamp[0] not in line.verdicts:
                due = stamp[1] + job.timeout
                if now >= due:
                    self.stop(line.slot, job.task_id, "timeout")
                    return
        self._next_look = min(self._next_look, due)

    def _check_end(self, child: Child, now: float) -> None:
        """A child that should have ended, or answered, by now."""
        if child.kill_at is None or child.killed_for:
            return
        stuck = [line for line in child.lines if line.verdicts.keys() & line.live.keys()]
        if not stuck and not child.retiring:
            child.kill_at = None  # it answered
            return
        if now < child.kill_at:
            self._next_look = min(self._next_look, child.kill_at)
            return
        if stuck and not child.retiring:
            self._retire(child)
        neighbours = [line for line in child.lines if line.live and line not in stuck]
        if not neighbours and (stuck or now >= child.kill_at):
            self._kill(child, "it did not stop when it was asked to")
        else:
            self._next_look = min(self._next_look, now + INSPECTION)

    def _inspect(self, child: Child) -> None:
        for line in child.lines:
            if line.live:
                capture.cut(line.log, capture.FLOOD)
        if child.common_log is not None:
            capture.cut(child.common_log, capture.FLOOD)
        if self._max_memory is not None and not child.killed_for and not child.idle:
            size = resident(child.pid)
            if size > self._max_memory:
                self._kill(child, f"memory: it used {size >> 20} MiB, and max_memory is {self._max_memory >> 20} MiB")

    # The end.

    def _busy(self) -> bool:
        return any(child.lines for child in self._children.values() if not child.idle)

    def _end_children(self, events: list[Event]) -> None:
        for child in self._children.values():
            for line in child.lines:
                self._receive(line)
                for serial in line.live:
                    line.verdicts.setdefault(serial, "handed_back")
            if child.idle:
                child.retiring = True
                for line in child.lines:
                    self._forget_room(line)
                child.finish()
            else:
                self._kill(child, "handed back")
        end = time.monotonic() + self._answer_time
        while self._children and time.monotonic() < end + self._answer_time:
            events += self.events(0.1)
            if time.monotonic() > end:
                for child in self._children.values():
                    self._kill(child, "it did not end when it was asked to")

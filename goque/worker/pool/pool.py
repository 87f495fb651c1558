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

from goque.errors import InvalidInput
from goque.worker.channel import capture, stamps
from goque.worker.channel.jobs import Event, Finished, Job, PoolKind, Program, Returned, Why
from goque.worker.channel.protocol import Malformed
from goque.worker.pool.brood import Brood, Upbringing
from goque.worker.pool.lines import Line
from goque.worker.pool.slots import Slot
from goque.worker.pool.watch import Watch

log = logging.getLogger("goque.worker")

ANSWER_TIME = 5.0
"""Seconds that an interrupted thread has to answer, and a retiring child to end, before the child is killed."""
_QUICK, _OVERHEAD = 2e-4, 8e-6
_SHORTEST_NAP, _LONGEST_NAP = 3e-5, 3e-4


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

        Raises:
            InvalidInput: an argument that makes no pool.
        """
        if slots < 1:
            raise InvalidInput(f"a pool needs at least one slot, not {slots}")
        if kind not in ("process", "thread"):
            raise InvalidInput(f"a pool is 'process' or 'thread', not {kind!r}")
        if slot_environment and (kind == "thread" or len(slot_environment) != slots):
            raise InvalidInput(f"give variables for each of the {slots} slots of a process pool, or for none")
        self.kind = kind
        self._slots = [Slot(number) for number in range(slots)]
        self._answer_time = answer_time
        self._out: list[Event] = []
        self._selector = selectors.DefaultSelector()
        upbringing = Upbringing(
            kind=kind,
            threads=threads,
            slot_environment=slot_environment,
            max_tasks=max_tasks_per_child,
            max_memory=max_memory,
            answer_time=answer_time,
        )
        self._max_tasks = max_tasks_per_child
        self._brood = Brood(self._slots, upbringing, self._selector, self._out, self._on_replies)
        self._watch = Watch(self._brood, max_memory, self.stop)
        self._bell, self._clapper = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._clapper, False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._woken)
        self._nap = 0.0

    def start(self) -> None:
        """Start the nursery and all children.

        Raises:
            NurseryLost: it cannot be started.
        """
        self._brood.start()

    def send(self, slot: int, program: Program, jobs: Sequence[Job]) -> None:
        """Give jobs to a slot. A second message behind the one that runs keeps the child from waiting."""
        self._slots[slot].add(program, jobs)
        self._brood.flush(self._slots[slot])
        timeouts = [job.timeout for job in jobs if job.timeout is not None]
        if timeouts:
            self._watch.expect(time.monotonic() + min(timeouts))

    def events(self, timeout: float | None = None) -> list[Event]:
        """What happened. Waits up to ``timeout`` seconds (None: no limit) for something to happen, or for ``wake``."""
        if self._nap:
            time.sleep(self._nap)
        self._look_if_due()
        wait = 0.0 if self._out else max(self._watch.due - time.monotonic(), 0.0)
        if timeout is not None:
            wait = min(wait, timeout)
        for key, _ in self._selector.select(wait):
            key.data()
        self._look_if_due()
        events = self._out[:]
        self._out.clear()
        self._nap = self._moderate(events)
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
        return None if line is None else self._brood.of_line[line].pid

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
        child = self._brood.of_line[line]
        self._receive(line)  # its answer may be there already
        if serial not in line.live:
            return False
        line.verdicts[serial] = why
        if child.kind == "process":
            self._brood.kill(child, why)
        else:
            child.interrupt(line, serial)
            child.kill_at = child.kill_at or time.monotonic() + self._answer_time
            self._watch.expect(child.kill_at)
        return True

    def ask_to_stop(self, slot: int | None = None) -> None:
        """Set ``goque.context().stopping`` in what runs in this slot, or in every slot."""
        if slot is None:
            for child in self._brood.children.values():
                child.ask_to_stop()
            return
        line = self._slots[slot].line
        if line is not None and (stamp := line.running()) is not None:
            stamps.ask_to_stop(self._brood.of_line[line].stamp_file, line.index, stamp[0])

    def close(self, grace: float = 0.0) -> list[Event]:
        """End the pool: nothing new is begun, what runs has ``grace`` seconds to end and is then handed back."""
        events: list[Event] = []
        if self._brood.open:
            self._brood.open = False
            for place in self._slots:
                if back := place.recall():
                    self._out.append(Returned(place.number, back))
            self.ask_to_stop()
            end = time.monotonic() + grace
            while self._busy and (left := end - time.monotonic()) > 0:
                events += self.events(min(left, 0.1))
            events += self._end_children()
        self._brood.close()
        self._selector.close()
        bell, clapper, self._bell, self._clapper = self._bell, self._clapper, -1, -1
        for descriptor in (bell, clapper):  # a later wake must not write to whoever gets these numbers next
            os.close(descriptor)
        return events + self._out

    @property
    def _busy(self) -> bool:
        return not all(child.idle for child in self._brood.children.values())

    def _end_children(self) -> list[Event]:
        brood = self._brood
        for child in list(brood.children.values()):
            for line in child.lines:
                self._receive(line)
                for serial in line.live:
                    line.verdicts.setdefault(serial, "handed_back")
            brood.finish_or_kill(child)
        events: list[Event] = []
        end = time.monotonic() + self._answer_time
        while brood.children and time.monotonic() < end + self._answer_time:
            events += self.events(0.1)
            if time.monotonic() > end:
                for child in brood.children.values():
                    brood.kill(child, "it did not end when it was asked to")
        return events

    def _moderate(self, events: list[Event]) -> float:
        """Seconds to let replies gather before the next look at them.

        Jobs of some microseconds would wake this thread for each reply, at many times the cost of the reply.
        """
        last = events[-1] if events else None
        if not isinstance(last, Finished) or last.outcome.run_s > _QUICK:
            return 0.0
        live = sum(len(place.line.live) for place in self._slots if place.line is not None) / len(self._slots)
        nap = min(0.3 * live * (last.outcome.run_s + _OVERHEAD), _LONGEST_NAP)
        return nap if nap > _SHORTEST_NAP else 0.0

    def _look_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._watch.due:
            self._watch.look(now)

    def _on_replies(self, line: Line) -> None:
        child = self._brood.of_line.get(line)
        if child is None:
            return  # it was buried by an earlier event of the same round
        if not self._receive(line):
            self._brood.stop_listening(line)  # the end; the nursery will tell of the death
        spent = self._max_tasks is not None and child.kind == "thread" and child.served >= self._max_tasks
        if line.tainted or spent:
            self._brood.retire(child)
        if child.retiring and not line.live:
            self._brood.release(line)
        self._brood.flush(self._slots[line.slot])

    def _receive(self, line: Line) -> bool:
        child = self._brood.of_line[line]
        before = len(line.live)
        try:
            more = line.receive(self._out)
        except Malformed as error:
            log.error("child %s is killed: %s", child.pid, error)
            self._brood.kill(child, str(error))
            more = False
        child.served += before - len(line.live)
        return more

    def _woken(self) -> None:
        os.read(self._bell, 4096)

"""Main's view of child processes: making them, and what becomes of their jobs when they die. Not for: whom to serve."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from goque.model.outcomes import Outcome
from goque.worker.channel import capture, stamps
from goque.worker.channel.jobs import Event, Finished, Job, PoolKind, Returned
from goque.worker.channel.protocol import CONTROL, Malformed
from goque.worker.pool.hatchery import Death, Hatchery
from goque.worker.pool.lines import Line, stopped

_DRAINS = 64
"""Rounds of reading what a dead child left; a copy of it that lives on may write for ever."""


@dataclass(slots=True, eq=False)
class Child:
    """One child process."""

    pid: int
    kind: PoolKind
    lines: list[Line]
    stamp_file: int
    control: int | None = None
    common_log: int | None = None
    born: float = field(default_factory=time.monotonic)
    served: int = 0
    """Jobs that it has finished."""
    killed_for: str = ""
    """Why main killed it, empty if it did not."""
    retiring: bool = False
    dedicated: bool = False
    """Made for one job that has to be alone."""
    kill_at: float | None = None
    last_words: str = ""
    """The end of its log, for a child that died before it was of use."""

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return not any(line.live for line in self.lines)

    def interrupt(self, line: Line, serial: int) -> None:
        """Ask a thread child to throw an interrupt into this job."""
        stamps.ask_to_stop(self.stamp_file, line.index, serial)
        if self.control is not None:
            try:
                os.write(self.control, CONTROL.pack(line.index, serial))
            except OSError:
                return  # full or broken: the child is stuck or dead, and will be killed

    def ask_to_stop(self) -> None:
        """Set ``goque.context().stopping`` for whatever runs in it."""
        for line in self.lines:
            stamps.ask_to_stop(self.stamp_file, line.index)

    def finish(self) -> None:
        """Let it end as soon as it has nothing to do."""
        for line in self.lines:
            line.finish()
        if self.control is not None:
            os.close(self.control)
            self.control = None

    def close(self) -> None:
        """Give up all descriptors."""
        self.finish()
        for line in self.lines:
            line.close()
        os.close(self.stamp_file)
        if self.common_log is not None:
            os.close(self.common_log)


def make_child(
    hatchery: Hatchery,
    kind: PoolKind,
    slots: list[int],
    environment: Mapping[str, str],
    max_tasks: int | None,
    max_memory: int | None,
) -> Child:
    """A new child with one line for each of these slots.

    Raises:
        NotBorn, NurseryLost: there is none.
    """
    stamp_file = stamps.create(len(slots))
    child = Child(0, kind, [Line(slot, index, stamp_file) for index, slot in enumerate(slots)], stamp_file)
    descriptors = [stamp_file]
    if kind == "thread":
        childs_control, child.control = os.pipe()
        os.set_blocking(child.control, False)
        child.common_log = capture.create()
        descriptors += [childs_control, child.common_log]
    for line in child.lines:
        descriptors += line.for_child
    rules = {
        "kind": kind,
        "lines": len(slots),
        "slot": slots[0],
        "environment": dict(environment),
        "max_tasks": max_tasks,
        "max_memory": max_memory,
    }
    try:
        child.pid = hatchery.fork(rules, descriptors)
    except BaseException:
        child.close()
        raise
    finally:
        for line in child.lines:
            line.handed_over()
        if kind == "thread":
            os.close(childs_control)
    return child


def bury(child: Child, death: Death, events: list[Event]) -> bool:
    """Settle every job of a dead child, and close it. Whether the child had been of use.

    What it had answered counts. A job that it was running is charged, unless several were: then it cannot be known
    which of them did it. What it had not begun comes back as it was.
    """
    before = len(events)
    back: list[Returned] = []
    running: list[tuple[Line, int, Job]] = []
    for line in child.lines:
        _drain(line, child, events)
        stamp = line.running()
        queued = line.recall()
        for serial, job in line.live.items():
            stamped = stamp is not None and stamp[0] == serial
            if serial in line.verdicts or job.alone or stamped or serial == line.guilty:
                running.append((line, serial, job))
            else:
                queued.insert(0, job)  # it had the token, but not yet begun
        if queued:
            back.append(Returned(line.slot, queued))
    for line, serial, job in running:
        why = line.verdicts.get(serial)
        if why is None and len(running) > 1:
            back.append(Returned(line.slot, [job], died=True))
            continue
        times = _times(line, child, death, serial)
        outcome = _crash(child, death, times) if why is None else stopped(why, times)
        events.append(Finished(line.slot, job, outcome))
    events += back
    child.last_words = capture.text(capture.read(child.common_log or child.lines[0].log))[-2000:]
    child.close()
    return child.served > 0 or len(events) > before + len(back) or bool(child.killed_for) or child.retiring


def _drain(line: Line, child: Child, events: list[Event]) -> None:
    try:
        for _ in range(_DRAINS):
            before = len(line.live)
            if not line.receive(events) or len(line.live) == before:
                return
    except Malformed as error:
        child.killed_for = child.killed_for or str(error)


def _times(line: Line, child: Child, death: Death, serial: int) -> Outcome:
    """What can still be said of a run that did not answer."""
    stamp = line.running()
    started = stamp[1] if stamp is not None and stamp[0] == serial else time.monotonic()
    log = capture.text(capture.read(line.log))
    if child.common_log is not None:
        log += capture.text(capture.read(child.common_log))
    whole_life = death.cpu_s if not child.served and len(child.lines) == 1 else 0.0
    return Outcome("crash", started, max(time.monotonic() - started, 0.0), whole_life, death.max_rss, log=log)


def _crash(child: Child, death: Death, times: Outcome) -> Outcome:
    code = os.waitstatus_to_exitcode(death.status)
    number = -code if code < 0 else None
    if child.killed_for:
        kind, message = "Stopped", child.killed_for
    elif number is None:
        kind = "ProcessExit"
        message = f"the process that ran it ended with exit code {code}: something in it called os._exit or the like"
    else:
        kind = _name(number)
        message = f"the process that ran it was ended by {kind}{_HINTS.get(number, '')}"
    return times._replace(
        error_type=kind,
        message=message,
        exit_signal=number,
        exit_code=code if number is None else None,
    )


_HINTS: dict[int, str] = {
    signal.SIGKILL: ", which the system does when memory runs out; see its log (dmesg) and --max-memory",
    signal.SIGSEGV: ", a fault in compiled code; the log shows where",
    signal.SIGABRT: ", compiled code gave up; the log shows where",
    signal.SIGBUS: ", a fault in compiled code, or a file that shrank while it was mapped",
}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

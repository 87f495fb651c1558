"""A child process: sets itself up after the fork, then serves its lines. Not for: deciding anything.

A child trusts main and nobody trusts a child. It never touches the database, and holds neither its address nor keys.
"""

from __future__ import annotations

import faulthandler
import logging
import marshal
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol
from weakref import WeakValueDictionary

from goque.worker.channel import stamps
from goque.worker.channel.capture import Log
from goque.worker.channel.measures import Usage, resident
from goque.worker.channel.protocol import JOBS, PROGRAM, PROGRAMS_KEPT, REPLY, TO_CHILD, TOKEN_SIZE
from goque.worker.child.runner import LoadedProgram, LoopRunner, Message, Reply, Runner, enter
from goque.worker.child.streams import Streams
from goque.worker.task import context, once

_SMALL = 64 * 1024
_READ = 1 << 18


@dataclass(frozen=True, slots=True)
class Rules:
    """What a child is told at its birth."""

    kind: str
    lines: int
    slot: int
    environment: dict[str, str]
    max_tasks: int | None
    max_memory: int | None


class Runs(Protocol):
    """Something that runs jobs."""

    def run(self, program: LoadedProgram, fields: tuple[Any, ...], serial: int) -> Reply: ...


_copied: list[int] = []
"""Not empty in a copy of this child that a task has forked."""


class Ends:
    """The child's ends of one line: its file descriptors and its stamp."""

    def __init__(self, descriptors: Sequence[int], stamp: stamps.Stamp) -> None:
        self.tasks, self.replies, self.tokens, log = descriptors
        self.log = Log(log)
        self.stamp = stamp
        # Threads that a task starts may report progress while the task's own thread sends its result.
        self._lock = threading.Lock()

    @property
    def stopping(self) -> bool:
        """Whether the running job was asked to stop."""
        return self.stamp.stopping

    def send(
        self,
        kind: int,
        serial: int,
        body: bytes = b"",
        rare: bytes = b"",
        log: bytes = b"",
        started: float = 0.0,
        run_s: float = 0.0,
        cpu_s: float = 0.0,
        max_rss: int = 0,
    ) -> None:
        """Write one reply to the end."""
        head = REPLY.pack(kind, serial, started, run_s, cpu_s, max_rss, len(body), len(log), len(rare))
        with self._lock:
            if len(body) < _SMALL:
                data = head + body + log + rare
                if os.write(self.replies, data) < len(data):
                    os._exit(1)  # a blocking pipe takes all of it, or the system is broken
            else:
                for part in (head, memoryview(body), log + rare):
                    while len(part):
                        part = part[os.write(self.replies, part) :]


class Server:
    """Serves one line: takes a token, runs the job, writes its result, and only then looks at the next."""

    def __init__(
        self,
        ends: Ends,
        runner: Runs,
        rules: Rules,
        slot: int,
        library: WeakValueDictionary[str, LoadedProgram],
        streams: Streams | None,
    ) -> None:
        self._ends = ends
        self._execute = runner.run
        self._stamp = ends.stamp
        self._rules = rules
        # A child of many lines is retired by main, which sees them all.
        self._limited = streams is not None and (rules.max_tasks is not None or rules.max_memory is not None)
        self._streams = streams
        self._attempt = context.Attempt(slot, ends.log, ends)
        self._programs: dict[str, LoadedProgram] = {}
        # Shared by the lines of this child, so that each program is loaded once.
        self._library = library
        self._entered: LoadedProgram | None = None
        self._held: bytes | None = None
        self._count = 0
        self._peak = 0

    def serve(self) -> None:
        """Until main closes the line, or until it is time to retire."""
        single = self._streams is not None
        context.enter(self._attempt, only=single)
        self._usage = Usage(whole_process=single)
        for kind, body in _frames(self._ends.tasks):
            if kind == PROGRAM:
                self._learn(Message(*marshal.loads(body)))
            elif kind == JOBS and not self._run_message(*marshal.loads(body)):
                return

    def _learn(self, message: Message) -> None:
        while len(self._programs) >= PROGRAMS_KEPT:
            del self._programs[next(iter(self._programs))]
        program = self._library.get(message.key)
        if program is None:
            program = self._library.setdefault(message.key, LoadedProgram(message, message.result_limit))
        self._programs[message.key] = program

    def _run_message(self, token: bytes, serial: int, key: str, jobs: list[tuple[Any, ...]]) -> bool:
        """Run those jobs whose tokens are there. False when it is time to retire."""
        program = self._programs[key]
        if program is not self._entered:
            enter(program, self._entered)
            self._entered = program
        read, tokens = os.read, self._ends.tokens
        for fields in jobs:
            taken = self._held
            if taken is None:
                try:
                    taken = read(tokens, TOKEN_SIZE)
                except BlockingIOError:
                    return True  # recalled: the rest of this message has no token
            else:
                self._held = None
            if taken != token:
                self._held = taken or None
                return bool(taken)  # a later message's: the rest of this one was recalled. Nothing: main is gone
            self._run(program, fields, serial)
            serial += 1
            if self._limited and self._should_retire():
                return False
        return True

    def _run(self, program: LoadedProgram, fields: tuple[Any, ...], serial: int) -> None:
        """The path of every task: what is not needed for each of them is not done here."""
        ends, attempt, stamp = self._ends, self._attempt, self._stamp
        if self._streams is not None:
            self._streams.install()
        attempt.job, attempt.limit, attempt.last_progress = fields, program.limit, 0.0
        attempt.asked = attempt.asked_bytes = 0
        attempt.started = started = monotonic()
        attempt.serial = serial
        stamp.start(serial, started)
        kind, body, rare = self._execute(program, fields, serial)
        if _copied:
            os._exit(0)  # the task forked, and this is the copy: the pipes belong to the original
        run_s = monotonic() - started
        cpu_s, self._peak = self._usage.take(run_s)
        attempt.serial = 0
        ends.send(kind, serial, body, rare, ends.log.take(), started, run_s, cpu_s, self._peak)
        stamp.end()

    def _should_retire(self) -> bool:
        self._count += 1
        rules = self._rules
        if rules.max_tasks is not None and self._count >= rules.max_tasks:
            return True
        return rules.max_memory is not None and self._peak > rules.max_memory and resident() > rules.max_memory


def _frames(descriptor: int) -> Any:
    """Frames from main, until it closes the pipe."""
    buffer = bytearray()
    while True:
        while len(buffer) >= TO_CHILD.size:
            length, kind = TO_CHILD.unpack_from(buffer)
            end = TO_CHILD.size + length
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:
                body = bytes(view[TO_CHILD.size : end])
            del buffer[:end]
            yield kind, body
        data = os.read(descriptor, _READ)
        if not data:
            return
        buffer += data


def main(rules: Rules, descriptors: list[int], nursery: int) -> None:
    """The life of a child after its fork; does not return."""
    code = 1
    try:
        _set_up(rules, descriptors, nursery)
        stamp_file, first, *rest = descriptors
        pipes = descriptors[1:] if rules.kind == "process" else rest[1:]
        ends = [
            Ends(pipes[4 * line : 4 * line + 4], stamp)
            for line, stamp in enumerate(stamps.open_stamps(stamp_file, rules.lines))
        ]
        if rules.kind == "process":
            streams = Streams(lambda: ends[0].log)
            runner = Runner(LoopRunner())
            Server(ends[0], runner, rules, rules.slot, WeakValueDictionary(), streams).serve()
        else:
            from goque.worker.child import threads

            threads.serve(rules, ends, first, Log(rest[0]))
        once.close_all()
        code = 0
    except BrokenPipeError:
        pass  # main is gone
    except BaseException:
        logging.getLogger("goque.worker").exception("a child failed")
    finally:
        # Not sys.exit: threads that tasks left behind must not keep the process.
        os._exit(code)


def _set_up(rules: Rules, descriptors: list[int], nursery: int) -> None:
    die_with(nursery)
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    common = descriptors[4] if rules.kind == "process" else descriptors[2]
    os.dup2(common, 1)
    os.dup2(common, 2)
    _close_others({0, 1, 2, *descriptors})
    os.environ.update(rules.environment)
    faulthandler.enable(2)
    sys.path.insert(0, "")
    os.register_at_fork(after_in_child=lambda: _disown(descriptors))


def _disown(descriptors: list[int]) -> None:
    """In a copy of this child that a task has forked."""
    _copied.append(os.getpid())
    _close(descriptors)


def _close_others(kept: set[int]) -> None:
    directory = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    _close([number for number in map(int, os.listdir(directory)) if number not in kept])


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            continue


def die_with(parent: int) -> None:
    """On Linux: the kernel kills this process when its parent dies, in a C loop too."""
    if prctl is not None:
        prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)  # it died before the line above


def _find_prctl() -> Any:
    if sys.platform != "linux":
        return None
    import ctypes

    return ctypes.CDLL(None).prctl


# Looked up before the fork, once for all children.
prctl = _find_prctl()

"""Main's end of one line: the pipes to one slot of one child, and the jobs that are on it. Not for: processes.

Four pipes' ends: tasks go out, replies come in, and of the token pipe main holds both ends. A token is in it for every
job that has not been started; who reads it out has the job: the child to run it, or main to take it back.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Sequence

from goque.model.outcomes import Outcome
from goque.worker.channel import capture, protocol, stamps, submissions
from goque.worker.channel.jobs import Checkpointed, Event, Finished, Job, Program, Progressed, Submitted, Why
from goque.worker.channel.protocol import REPLY, TOKEN, Malformed

JOBS_PER_MESSAGE = 1000
"""Tokens of some messages must fit into the pipe at once, for main never waits for a child."""
_ATOMIC = 512
"""Bytes that every POSIX system writes to a pipe as a whole, so that no reader meets half a token."""
_READ = 1 << 18
_READS_AT_A_TIME = 16
_WORTH_ANOTHER = 1 << 14
"""After reading less than this the pipe is most likely empty, and asking again costs as much as some replies."""
_LONGEST_LOG = capture.LONGEST + 1024


class _Sent:
    """One message: its jobs have the serials from ``next`` to ``last``, without those that ended or were taken back."""

    __slots__ = ("last", "next", "number")

    def __init__(self, number: int, first: int, last: int) -> None:
        self.number = number
        self.next = first
        self.last = last


class Line:
    """One slot's pipes in one child."""

    def __init__(self, slot: int, index: int, stamp_file: int) -> None:
        self.slot = slot
        self.index = index
        self.live: dict[int, Job] = {}
        """Jobs that were sent and have neither ended nor come back, by serial, in order."""
        self.verdicts: dict[int, Why] = {}
        """Jobs that are being stopped."""
        self.guilty = -1
        """Serial of the job in whose name the child sent nonsense; its code may have ended since, but it is charged."""
        self.open = True
        """Whether it takes more jobs."""
        self._stamp_file = stamp_file
        self._sent: deque[_Sent] = deque()
        self._number = 0
        self._outbox: deque[tuple[int, memoryview]] = deque()
        self._pieces: list[bytes] = []
        self._have = 0
        # Bytes until it is worth looking: a large result comes in many pieces.
        self._needed = REPLY.size
        self.tainted = False
        """Whether an exception was thrown into this line's thread, which may have left anything behind."""
        self._asked: dict[int, tuple[int, int]] = {}
        """Tasks that running jobs have asked for, and their bytes: a child must not fill main's memory."""
        self._known: dict[str, None] = {}
        self._limit = 0
        self.log = capture.create()
        child_tasks, self.tasks = os.pipe()
        self.replies, child_replies = os.pipe()
        self.tokens, self._token_end = os.pipe()
        self.for_child = [child_tasks, child_replies, self.tokens, self.log]
        self._only_childs = [child_tasks, child_replies]
        # The read end of the tokens is one description on both sides, so the child does not wait for tokens either.
        for descriptor in (self.tasks, self.replies, self.tokens, self._token_end):
            os.set_blocking(descriptor, False)

    def handed_over(self) -> None:
        """The child has its ends; main must not hold them, or it would never see that the child closed them."""
        for descriptor in self._only_childs:
            os.close(descriptor)
        self._only_childs = []

    def post(self, program: Program, jobs: Sequence[Job], first: int) -> None:
        """Send jobs, with the serials from ``first`` on. What the pipe cannot take now goes out by ``pump``."""
        self._number = number = self._number + 1
        token = TOKEN.pack(number)
        # Tokens first: a child that meets a message without tokens takes it for a recalled one.
        left, step = len(jobs), _ATOMIC // len(token)
        while left > 0:
            os.write(self._token_end, token * min(left, step))
            left -= step
        if program.key not in self._known:
            while len(self._known) >= protocol.PROGRAMS_KEPT:
                del self._known[next(iter(self._known))]
            self._known[program.key] = None
            self._outbox.append((0, memoryview(protocol.program_frame(program))))
        self._limit = max(self._limit, program.result_limit)
        self._sent.append(_Sent(number, first, first + len(jobs) - 1))
        self.live.update(zip(range(first, first + len(jobs)), jobs, strict=True))
        self._outbox.append((number, memoryview(protocol.jobs_frame(number, first, program.key, jobs))))
        self.pump()

    def pump(self) -> bool:
        """Write what the child can take; whether something is left."""
        outbox = self._outbox
        while outbox:
            number, data = outbox[0]
            try:
                written = os.write(self.tasks, data)
            except BlockingIOError:
                return True
            except BrokenPipeError:
                outbox.clear()  # the child is dead, which its nursery will tell
                return False
            if written < len(data):
                outbox[0] = (-number, data[written:])  # begun: it must be finished, even if it is recalled
                return True
            outbox.popleft()
        return False

    @property
    def waiting_to_write(self) -> bool:
        """Whether ``pump`` has something left to do."""
        return bool(self._outbox)

    def recall(self) -> list[Job]:
        """Take back every job that the child has not started."""
        taken = Counter[int]()
        while True:
            try:
                tokens = os.read(self.tokens, 1 << 16)
            except BlockingIOError:
                break
            if not tokens:
                break
            taken.update(number for (number,) in TOKEN.iter_unpack(tokens))
        back: list[Job] = []
        for sent in self._sent if taken else ():
            start = sent.last + 1 - taken[sent.number]
            back += [self.live.pop(serial) for serial in range(start, sent.last + 1) if serial in self.live]
            sent.last = start - 1
        if taken:
            gone = {sent.number for sent in self._sent if sent.last < sent.next}
            self._sent = deque(sent for sent in self._sent if sent.number not in gone)
            # What a child has not begun to read need not be sent; it finds no tokens for the rest.
            self._outbox = deque(item for item in self._outbox if item[0] not in gone)
        return back

    def running(self) -> tuple[int, float] | None:
        """Serial and start of the job that runs, None when none does."""
        stamp = stamps.running(self._stamp_file, self.index)
        return stamp if stamp is not None and stamp[0] in self.live else None

    def receive(self, events: list[Event]) -> bool:
        """Read replies into events; whether there may be more, False at the end of the pipe.

        Raises:
            Malformed: the child sent nonsense.
        """
        for _ in range(_READS_AT_A_TIME):
            try:
                data = os.read(self.replies, _READ)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._pieces.append(data)
            self._have += len(data)
            if self._have >= self._needed:
                whole = b"".join(self._pieces) if len(self._pieces) > 1 else data
                rest = whole[self._parse(whole, events) :]
                self._pieces = [rest] if rest else []
                self._have = len(rest)
            if len(data) < _WORTH_ANOTHER:
                return True
        return True

    def _parse(self, data: bytes, events: list[Event]) -> int:
        """Replies into events; returns where the first incomplete one begins."""
        at, end, serial = 0, len(data), -1
        unpack, size, limit = REPLY.unpack_from, REPLY.size, self._limit
        queue, live, slot = self._sent, self.live, self.slot
        self._needed = size
        try:
            while end - at >= size:
                kind, serial, started, run_s, cpu_s, max_rss, n_body, n_log, n_rare = unpack(data, at)
                if n_body > limit or n_log > _LONGEST_LOG or n_rare > protocol.LONGEST_RARE:
                    raise Malformed("the child sent a reply that is longer than any reply may be")
                start = at + size
                after = start + n_body + n_log + n_rare
                if after > end:
                    self._needed = after - at
                    break
                body = data[start : start + n_body]
                log = capture.text(data[start + n_body : after - n_rare]) if n_log else ""
                at = after
                if kind <= protocol.INTERRUPTED:
                    sent = queue[0] if queue else None
                    if sent is None or serial != sent.next or serial not in live:
                        raise Malformed("the child answered for a job whose turn it is not")
                    job = live[serial]
                    # Written so that NaN is refused as well.
                    if not (0 <= run_s < 1e9 and 0 <= started < 1e12 and -1 < cpu_s < 1e9 and max_rss < 1 << 50):
                        raise Malformed("the child sent times that cannot be")
                    if kind == protocol.DONE:
                        outcome = Outcome("done", started, run_s, cpu_s, max_rss, body, log)
                    else:
                        rare = data[after - n_rare : after]
                        times = Outcome("error", started, run_s, cpu_s, max_rss, log=log)
                        outcome = self._failed(kind, self.verdicts.get(serial), times, body, rare)
                    del live[serial]
                    if serial == sent.last:
                        queue.popleft()
                    else:
                        sent.next = serial + 1
                    if self.verdicts:
                        self.verdicts.pop(serial, None)
                    if self._asked:
                        self._asked.pop(serial, None)
                    events.append(Finished(slot, job, outcome))
                else:
                    self._told(kind, serial, body, data[after - n_rare : after], events)
        except Malformed:
            self.guilty = serial
            raise
        return at

    def _failed(self, kind: int, why: Why | None, times: Outcome, body: bytes, raw: bytes) -> Outcome:
        """The outcome of a run that did not return."""
        if kind == protocol.INTERRUPTED:
            # Without a body it was an exception thrown into the thread; with one, a coroutine cancelled in order.
            self.tainted = self.tainted or not body
            return stopped(why or "handed_back", times)
        if kind != protocol.FAILED:
            raise Malformed(f"the child sent a reply of a kind that does not exist ({kind})")
        outcome = failed(times, body, raw)
        # The interrupt may come out of the task's code as another error; it was stopped all the same.
        return outcome if why is None else stopped(why, outcome)

    def _told(self, kind: int, serial: int, body: bytes, raw: bytes, events: list[Event]) -> None:
        job = self.live.get(serial)
        if job is None:
            raise Malformed(f"the child tells of a job it does not have ({serial})")
        if kind == protocol.PROGRESSED:
            done, total, note = protocol.read_progress(raw)
            events.append(Progressed(self.slot, job, done, total, note))
        elif kind == protocol.CHECKPOINTED:
            events.append(Checkpointed(self.slot, job, body))
        elif kind == protocol.SUBMITTED:
            submission = submissions.read(raw, body)
            calls, size = self._asked.get(serial, (0, 0))
            self._asked[serial] = (calls := calls + len(submission.calls), size := size + len(body) + len(raw))
            if calls > submissions.MOST_CALLS or size > submissions.most_bytes(self._limit):
                raise Malformed("the child asked for more tasks than one may ask for")
            events.append(Submitted(self.slot, job, submission))
        else:
            raise Malformed(f"the child sent a frame of a kind that does not exist ({kind})")

    def finish(self) -> None:
        """Take no more jobs; the child goes when it has run what it has."""
        if self.open:
            self.open = False
            self._outbox.clear()
            os.close(self.tasks)

    def close(self) -> None:
        """Give up all descriptors."""
        self.finish()
        for descriptor in (self.replies, self.tokens, self._token_end, self.log):
            os.close(descriptor)
        self.handed_over()


def failed(times: Outcome, body: bytes, raw: bytes) -> Outcome:
    """The outcome of a run that raised, of the exception and the rare fields in its reply."""
    rare = protocol.read_rare(raw)
    return times._replace(
        kind=rare.kind,
        retry_in=rare.retry_in,
        error_type=rare.error_type,
        message=rare.message,
        traceback=rare.traceback,
        user_frame=rare.user_frame,
        exception=body or None,
        args_repr=rare.args_repr,
        module=rare.module,
    )


def stopped(why: Why, times: Outcome) -> Outcome:
    """The outcome of a run that main stopped. Its policy could not be asked."""
    if why == "timeout":
        message = f"stopped by its timeout after {times.run_s:.1f} s; give it more with timeout=, or less to do"
        return times._replace(kind=why, error_type="TimeoutError", message=message)
    return times._replace(kind=why, message="stopped while it ran", retry_in=None)

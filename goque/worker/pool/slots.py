"""What one slot of the pool has to do: jobs not yet given to a child, and the line it uses. Not for: processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from goque.worker.channel.jobs import Job, Program
from goque.worker.pool.lines import JOBS_PER_MESSAGE, Line


class Message(NamedTuple):
    """Some jobs of one program. A job that must be alone is a message of its own."""

    program: Program
    jobs: Sequence[Job]
    alone: bool


class Slot:
    """One slot. Its jobs run in the order they were sent, one at a time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: deque[Message] = deque()
        """Sent by the caller, not yet given to a child."""
        self.line: Line | None = None
        self._serial = 0
        self._alone = False

    def add(self, program: Program, jobs: Sequence[Job]) -> None:
        """Take jobs, in messages of a size that a line can take."""
        together: list[Job] = []
        for job in jobs:
            if job.alone:
                self._add(program, together)
                together = []
                self.waiting.append(Message(program, [job], True))
            else:
                together.append(job)
        self._add(program, together)

    def _add(self, program: Program, jobs: list[Job]) -> None:
        for start in range(0, len(jobs), JOBS_PER_MESSAGE):
            self.waiting.append(Message(program, jobs[start : start + JOBS_PER_MESSAGE], False))

    @property
    def load(self) -> int:
        """Jobs that have not ended."""
        return sum(len(message.jobs) for message in self.waiting) + (len(self.line.live) if self.line else 0)

    @property
    def may_post(self) -> bool:
        """Whether the first waiting message may join what the child has now."""
        if not self.waiting or self.line is None or not self.line.open:
            return False
        live = len(self.line.live)
        if self._alone or self.waiting[0].alone:
            return not live
        return live <= 3 * JOBS_PER_MESSAGE

    def post(self) -> None:
        """Give the first waiting message to the child."""
        assert self.line is not None
        message = self.waiting.popleft()
        first = self._serial + 1
        self._serial += len(message.jobs)
        self._alone = message.alone
        self.line.post(message.program, message.jobs, first)

    def recall(self) -> list[Job]:
        """Take back every job that has not begun, in order."""
        back = self.line.recall() if self.line is not None else []
        for message in self.waiting:
            back += message.jobs
        self.waiting.clear()
        return back

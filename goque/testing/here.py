"""Slots that run their jobs here, in the calling process and thread. Not for: production, where children do (``Pool``).

Code that runs here cannot be stopped from outside, so that a timeout is noticed only when the code has returned.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from contextvars import copy_context
from time import monotonic
from typing import TextIO

from goque.model.outcomes import Outcome
from goque.worker.channel import capture, protocol, submissions
from goque.worker.channel.jobs import Checkpointed, Event, Finished, Job, Program, Progressed, Returned, Submitted, Why
from goque.worker.channel.measures import Usage
from goque.worker.child.runner import LoadedProgram, LoopRunner, Message, Runner
from goque.worker.pool.lines import failed, stopped
from goque.worker.task import context


class Here:
    """One slot, driven as a pool is; a job is run by the call of ``events`` that gives its end."""

    def __init__(self) -> None:
        self._runner = Runner(LoopRunner())
        self._usage = Usage(whole_process=False)
        self._programs: dict[str, LoadedProgram] = {}
        self._waiting: list[tuple[Program, Job]] = []
        self._serial = 0
        self.ran: list[int] = []
        """The tasks that were run, in order."""
        self.interrupted = False
        """Whether a run was ended by an interrupt, which is the caller's and not the task's."""

    def send(self, slot: int, program: Program, jobs: Sequence[Job]) -> None:
        self._waiting += [(program, job) for job in jobs]

    def events(self, timeout: float | None = None) -> list[Event]:
        waiting, self._waiting = self._waiting, []
        # A context of its own, so that what runs is inside of a task and whoever called is not.
        return [event for program, job in waiting for event in copy_context().run(self._run, program, job)]

    def recall(self, slot: int) -> list[Job]:
        waiting, self._waiting = self._waiting, []
        return [job for _, job in waiting]

    def close(self) -> list[Event]:
        return [Returned(0, self.recall(0))]

    def load(self, slot: int) -> int:
        return len(self._waiting)

    def wake(self) -> None:
        """Nothing here sleeps."""

    def running(self, slot: int) -> tuple[Job, float] | None:
        return None  # whoever asks is the thread that would run it

    def live_log(self, slot: int) -> str:
        return ""

    def ask_to_stop(self) -> None:
        pass  # what runs is this very thread

    def stop(self, slot: int, task_id: int, why: Why) -> bool:
        return False

    def _run(self, program: Program, job: Job) -> list[Event]:
        loaded = self._programs.get(program.key)
        if loaded is None:
            loaded = self._programs[program.key] = _loaded(program)
        self._serial += 1
        self.ran.append(job.task_id)
        told = _Told(job)
        with _log() as log:
            attempt = context.Attempt(0, log, told)
            attempt.job, attempt.limit, attempt.serial = tuple(job), program.result_limit, self._serial
            context.enter(attempt, only=False)
            attempt.started = started = monotonic()
            with _teed(log):
                kind, body, rare = self._runner.run(loaded, tuple(job), self._serial)
            attempt.serial = 0
            run_s = monotonic() - started
            text = capture.text(log.take())
        cpu_s, max_rss = self._usage.take(run_s)
        if kind == protocol.DONE:
            outcome = Outcome("done", started, run_s, cpu_s, max_rss, body, text)
        else:
            outcome = failed(Outcome("error", started, run_s, cpu_s, max_rss, log=text), body, rare)
            self.interrupted = self.interrupted or outcome.error_type == KeyboardInterrupt.__name__
        if job.timeout is not None and run_s > job.timeout:
            outcome = stopped("timeout", outcome._replace(result=None, exception=None))
        return [*told.events, Finished(0, job, outcome)]


class _Told:
    """What a task tells while it runs."""

    stopping = False

    def __init__(self, job: Job) -> None:
        self._job = job
        self.events: list[Event] = []

    def send(self, kind: int, serial: int, body: bytes = b"", rare: bytes = b"") -> None:
        if kind == protocol.PROGRESSED:
            self.events.append(Progressed(0, self._job, *protocol.read_progress(rare)))
        elif kind == protocol.SUBMITTED:
            self.events.append(Submitted(0, self._job, submissions.read(rare, body)))
        else:
            self.events.append(Checkpointed(0, self._job, body))


def _loaded(program: Program) -> LoadedProgram:
    """Without the submitter's directory and environment: those of the test are its own."""
    message = Message(
        key=program.key,
        code=program.code,
        name=program.name,
        source=program.source,
        filename=program.filename,
        first_line=program.first_line,
        kwargs=program.kwargs,
        policy=program.policy,
        cwd=None,
        environment=None,
        result_limit=program.result_limit,
        app=program.app,
        objects=dict(program.objects),
    )
    return LoadedProgram(message, program.result_limit)


@contextmanager
def _log() -> Iterator[capture.Log]:
    descriptor = capture.create()
    try:
        yield capture.Log(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _teed(log: capture.Log) -> Iterator[None]:
    """What is printed and logged goes into the log of the run, and where it would go otherwise."""
    handler = logging.StreamHandler(_Tee(log, None))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with redirect_stdout(_Tee(log, sys.stdout)), redirect_stderr(_Tee(log, sys.stderr)):
            yield
    finally:
        root.removeHandler(handler)


class _Tee(io.TextIOBase):
    """A text stream into two places."""

    def __init__(self, log: capture.Log, stream: TextIO | None) -> None:
        self._log = log
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self._log.write(text.encode("utf-8", "backslashreplace"))
        return len(text) if self._stream is None else self._stream.write(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

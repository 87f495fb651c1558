"""``goque.context()``: what a running task may ask and tell. Not for: a database; everything goes through main.

An ``Attempt`` is the child's record of what one slot runs. A ``TaskContext`` is what the task's code sees of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from goque.errors import InvalidInput
from goque.model.identity import batch_of, position_of
from goque.worker.channel.capture import Log
from goque.worker.channel.jobs import Job, Submission
from goque.worker.channel.protocol import CHECKPOINTED, PROGRESSED, SUBMITTED

PROGRESS_INTERVAL = 0.05
"""Seconds; a task that reports more often has the reports between left out, not the last one."""


class _Sender(Protocol):
    def send(self, kind: int, serial: int, body: bytes = b"", rare: bytes = b"") -> None: ...

    @property
    def stopping(self) -> bool: ...


_NO_JOB = Job(0, 0, b"")


class Attempt:
    """What a slot of this child runs now; one object per slot, filled anew for each job."""

    __slots__ = ("asked", "asked_bytes", "job", "last_progress", "limit", "log", "sender", "serial", "slot", "started")

    def __init__(self, slot: int, log: Log, sender: _Sender) -> None:
        self.slot = slot
        self.log = log
        self.sender = sender
        self.serial = 0
        self.job: tuple[Any, ...] = ()
        self.started = 0.0
        self.limit = 0
        self.last_progress = 0.0
        self.asked = self.asked_bytes = 0


_attempt: ContextVar[Attempt | None] = ContextVar("goque_attempt", default=None)
_only: Attempt | None = None


def enter(attempt: Attempt, *, only: bool) -> None:
    """This thread runs for that slot; with ``only`` all threads of the process do, those that tasks start included."""
    global _only
    _attempt.set(attempt)
    if only:
        _only = attempt


def attempt_here() -> Attempt | None:
    """The attempt whose code is asking, None outside of one."""
    return _attempt.get() or _only


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The task that runs here."""

    task: int
    """The task's id."""
    attempt: int
    """The number of this attempt, 1 for the first."""
    slot: datetime | None
    """The moment of the schedule that this task was made for; None for tasks of no schedule."""
    worker_slot: int
    """The slot of the worker that runs it, from 0."""
    deadline: float | None
    """``time.monotonic()`` at which the timeout stops it; None without a timeout."""
    metadata: dict[str, Any]
    batch: int | None
    position: int | None
    _attempt: Attempt
    _serial: int
    _checkpoint: bytes | None
    _given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stopping(self) -> bool:
        """Whether this task was asked to stop: save what is worth saving and return or raise ``goque.Snooze``."""
        return self._attempt.serial != self._serial or self._attempt.sender.stopping

    @property
    def restored(self) -> Any:
        """What the last ``checkpoint`` of an earlier attempt kept, None when there was none."""
        if self._checkpoint is None:
            return None
        from goque.payload import codec

        return codec.loads(self._checkpoint)

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell how far it is; shown wherever the task is. Cheap enough for an inner loop."""
        attempt = self._running()
        now = time.monotonic()
        if now - attempt.last_progress < PROGRESS_INTERVAL and done != total:
            return
        body = json.dumps([float(done), None if total is None else float(total), str(note)[:1000]])
        attempt.last_progress = now
        attempt.sender.send(PROGRESSED, self._serial, rare=body.encode())

    def checkpoint(self, obj: Any) -> None:
        """Keep this object for the next attempt, should this one not end well.

        Raises:
            NotSerializable, PayloadTooLarge: it cannot be kept.
        """
        from goque.payload import codec

        attempt = self._running()
        attempt.sender.send(CHECKPOINTED, self._serial, codec.dumps(obj, attempt.limit))

    # Giving work. It goes through main, and is there when this run has succeeded; nothing of it if it fails.

    def options(self, **options: Any) -> TaskContext:
        """This context with these options for what is submitted, as ``q.options`` takes them."""
        return replace(self, _given={**self._given, **options})

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """One call of a function, made together with this task's outcome. This task's metadata goes with it.

        With an ``external_id`` that a task of this function has by then, none is made.

        Raises:
            InvalidInput: function or arguments cannot be stored.
        """
        from goque.worker.channel import submissions

        self._ask(submissions.of_function(fn, [(args, kwargs)], self._options_given()))

    def map(self, fn: Callable[..., Any], /, *iterables: Iterable[Any]) -> None:
        """One call per item, as ``submit`` makes them, one by one and not as a batch; a run may ask for 10,000.

        An ``external_id`` is a callable of the item.
        """
        from goque.worker.channel import submissions

        calls = ((args, dict[str, Any]()) for args in zip(*iterables, strict=True))
        self._ask(submissions.of_function(fn, calls, self._options_given(), is_map=True))

    def enqueue(self, type: str, payload: Any = None, **options: Any) -> None:
        """One task of a named type, made together with this task's outcome. This task's metadata goes with it.

        With an ``external_id`` that a task of this type has by then, none is made.

        Raises:
            PayloadError: the payload cannot be stored.
        """
        from goque.worker.channel import submissions

        given = self.options(**options)._options_given()
        self._ask(submissions.of_type(type, payload, given))

    def _options_given(self) -> dict[str, Any]:
        metadata = {**self.metadata, **(self._given.get("metadata") or {})}
        return {**self._given, "metadata": metadata} if metadata else dict(self._given)

    def _ask(self, submission: Submission) -> None:
        from goque.worker.channel import submissions

        attempt = self._running()
        body, rare = submissions.frame(submission, attempt.limit - attempt.asked_bytes)
        if attempt.asked + len(submission.calls) > submissions.MOST_CALLS:
            raise InvalidInput(f"a task may ask for {submissions.MOST_CALLS:,} tasks in one run")
        attempt.asked += len(submission.calls)
        attempt.asked_bytes += len(body) + len(rare)
        attempt.sender.send(SUBMITTED, self._serial, body, rare)

    def _running(self) -> Attempt:
        if self._attempt.serial != self._serial:
            raise InvalidInput("this task has ended; take a new goque.context() in the task that runs now")
        return self._attempt


def current() -> TaskContext:
    """The context of the task that runs here.

    Raises:
        InvalidInput: no task runs here.
    """
    attempt = attempt_here()
    if attempt is None or not attempt.serial:
        raise InvalidInput(
            "goque.context() is for code that runs in a task; here none runs. Outside, use the Task itself"
        )
    job = Job(*attempt.job)
    return TaskContext(
        task=job.task_id,
        attempt=job.attempt,
        slot=None if job.scheduled is None else datetime.fromisoformat(job.scheduled),
        worker_slot=attempt.slot,
        deadline=None if job.timeout is None else attempt.started + job.timeout,
        metadata=dict(job.metadata or {}),
        batch=batch_of(job.task_id),
        position=position_of(job.task_id),
        _attempt=attempt,
        _serial=attempt.serial,
        _checkpoint=job.checkpoint,
    )

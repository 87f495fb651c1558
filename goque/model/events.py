"""What happens in a worker's main process, as data for whoever wants to hear of it: metrics, traces, log records.

Not for: anything that work depends on. Nothing is made or counted while nobody listens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from goque.model.states import RunOutcome, Status

log = logging.getLogger("goque.events")

E = TypeVar("E")


class RunEnded(NamedTuple):
    """A run whose outcome is written. A named tuple because one is built for every task, where somebody listens."""

    task: int
    run: int
    type: str
    queue: str
    batch: int | None
    outcome: RunOutcome
    status: Status
    """What the task has become."""
    attempt: int
    """The number of this attempt, 1 for the first."""
    ready_at: float
    """When it was ready to be claimed: seconds since 1970 on the database's clock."""
    started_at: float | None
    """Seconds since 1970 on this machine's clock; None where its code had not begun."""
    run_s: float
    args_bytes: int
    result_bytes: int
    error_type: str = ""
    traceparent: str | None = None
    """The span in which it was sent, where somebody traced that."""


@dataclass(frozen=True, slots=True)
class RunsDone:
    """Runs that returned, as they were written together."""

    runs: Sequence[RunEnded]


@dataclass(frozen=True, slots=True)
class RunsNotDone:
    """Runs that did anything else: failed, timed out, crashed, were canceled, snoozed or handed back."""

    runs: Sequence[RunEnded]


@dataclass(frozen=True, slots=True)
class TasksClaimed:
    """One claim brought so many tasks."""

    tasks: int


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """This process has registered as a worker."""

    worker: int
    slots: int
    pool: str


@dataclass(frozen=True, slots=True)
class WorkersLost:
    """This worker found others lost, or was itself declared lost."""

    workers: Sequence[int]
    itself: bool


@dataclass(frozen=True, slots=True)
class TasksHealed:
    """Tasks of lost workers were freed: how many became what."""

    by_status: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TasksPromoted:
    """Tasks became ready because their time had come."""

    tasks: int


@dataclass(frozen=True, slots=True)
class TasksExpired:
    """Tasks were canceled that had not begun in time."""

    tasks: int


@dataclass(frozen=True, slots=True)
class TasksScheduled:
    """Tasks were made by schedules."""

    tasks: int


@dataclass(frozen=True, slots=True)
class TasksCleaned:
    """Rows whose retention was over are gone: how many of which kind."""

    by_kind: Mapping[str, int]


class Load(NamedTuple):
    """How much a worker holds."""

    slots: int
    running: int
    buffered: int
    """Claimed, and not begun."""
    unwritten: int
    """Ended, and not yet written."""


class Events:
    """Who wants to hear of what. Listeners are called in the thread in which it happened, and must be quick."""

    def __init__(self) -> None:
        self._listeners: dict[type, list[Callable[[Any], object]]] = {}

    def on(self, kind: type[E], call: Callable[[E], object]) -> None:
        """Call this for each event of a kind from now on."""
        self._listeners.setdefault(kind, []).append(call)

    def wanted(self, kind: type) -> bool:
        """Whether somebody wants to hear of this kind."""
        return kind in self._listeners

    def emit(self, event: object) -> None:
        """Tell those who want to hear of it. That one of them fails is logged, and changes nothing."""
        for call in self._listeners.get(type(event), ()):
            try:
                call(event)
            except Exception:
                log.exception("a listener of %s failed", type(event).__name__)

"""The states of a task and who moves it from where to where. Not for: the SQL that does it (``queries``)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from goque.errors import InvalidInput


class Status(StrEnum):
    """The state of a task, spelled the same in the database, in Python and in DataFrames."""

    NEW = "new"
    """Ready to be picked up, or in a worker's buffer. A worker moves it on."""
    PENDING = "pending"
    """Scheduled for later, or its inputs are not ready. Promotion turns it into ``new``."""
    PROCESSING = "processing"
    """Running now. Its worker ends it; the healer frees it when that worker is lost."""
    DONE = "done"
    """Completed. Final; only ``retry(force=True)`` runs it again."""
    ERROR = "error"
    """Failed, attempts remain. Due again at ``run_at``."""
    ATTEMPTS_LEFT = "attempts_left"
    """Failed for good: no attempt is left, or none would help. Final; ``retry`` makes it ready again."""
    CANCELED = "canceled"
    """Canceled by a person, by the code, by expiry, or refused. Final; ``retry`` makes it ready again."""

    @property
    def final(self) -> bool:
        """Whether only ``retry`` can change it."""
        return self in FINAL

    @property
    def failed(self) -> bool:
        """Whether a run of it failed: ``error`` or ``attempts_left``."""
        return self in FAILED


FINAL = frozenset({Status.DONE, Status.ATTEMPTS_LEFT, Status.CANCELED})
UNFINISHED = frozenset(Status) - FINAL
FAILED = frozenset({Status.ERROR, Status.ATTEMPTS_LEFT})


class Counts(dict[Status, int]):
    """A number for each status. Shown without the zeros: ``{'done': 98, 'attempts_left': 2}``."""

    def __repr__(self) -> str:
        return repr({str(status): number for status, number in self.items() if number})


class RunOutcome(StrEnum):
    """How one run of a task ended."""

    DONE = "done"
    ERROR = "error"
    """The function raised."""
    TIMEOUT = "timeout"
    """It ran longer than its timeout and was stopped."""
    CRASH = "crash"
    """Its process died while it ran."""
    LOST = "lost"
    """Its worker was lost while it ran."""
    LOST_UNKNOWN = "lost_unknown"
    """Its worker was lost while it held the task; whether it had started is not known."""
    CANCELED = "canceled"
    SNOOZED = "snoozed"
    """The code asked to be run later; nothing was charged."""
    HANDED_BACK = "handed_back"
    """Stopped by an orderly shutdown; nothing was charged."""


CHARGED = frozenset({RunOutcome.DONE, RunOutcome.ERROR, RunOutcome.TIMEOUT, RunOutcome.CRASH, RunOutcome.LOST})
"""Outcomes that cost an attempt."""

MAX_LOSSES = 5
"""A task that was held by this many lost workers in a row ends in ``attempts_left``."""
EXPIRED = "it expired before it was started"
"""Why a task was canceled that had not begun by the time given as ``expires``."""
MAX_HANDBACKS = 5
"""A task that was handed back this many times after it had started ends in ``attempts_left``."""


class Move(NamedTuple):
    """One allowed transition: who makes it, and when."""

    before: Status
    after: Status
    by: str
    when: str


MOVES = (
    Move(Status.PENDING, Status.NEW, "promotion", "its time has come and its inputs are ready"),
    Move(Status.NEW, Status.PROCESSING, "worker", "it runs for longer than a flush interval, or was lost before"),
    Move(Status.ERROR, Status.PROCESSING, "worker", "the same, on a later attempt"),
    *(
        move
        for held in (Status.NEW, Status.ERROR, Status.PROCESSING)
        for move in (
            Move(held, Status.DONE, "worker", "the function returned"),
            Move(held, Status.ERROR, "worker", "the run failed and attempts remain"),
            Move(held, Status.ATTEMPTS_LEFT, "worker", "the run failed and no attempt is left, or none would help"),
            Move(held, Status.CANCELED, "worker", "the code raised Cancel, it expired, or its signature is wrong"),
            Move(held, Status.PENDING, "worker", "the code raised Snooze"),
        )
    ),
    Move(Status.PROCESSING, Status.NEW, "worker", "an orderly stop handed it back"),
    Move(Status.ERROR, Status.NEW, "worker", "the same, before it was marked as running"),
    Move(Status.PROCESSING, Status.ERROR, "healer", "its worker was lost and attempts remain"),
    Move(Status.PROCESSING, Status.ATTEMPTS_LEFT, "healer", "its worker was lost and no attempt is left"),
    Move(Status.NEW, Status.ATTEMPTS_LEFT, "healer", f"{MAX_LOSSES} workers were lost while they held it"),
    Move(Status.ERROR, Status.ATTEMPTS_LEFT, "healer", f"{MAX_LOSSES} workers were lost while they held it"),
    *(
        Move(status, Status.CANCELED, "expiry", "it has not begun by the time given as `expires`")
        for status in (Status.NEW, Status.PENDING, Status.ERROR)
    ),
    *(Move(status, Status.CANCELED, "person", "cancel") for status in sorted(UNFINISHED)),
    Move(Status.ATTEMPTS_LEFT, Status.NEW, "person", "retry"),
    Move(Status.CANCELED, Status.NEW, "person", "retry"),
    Move(Status.DONE, Status.NEW, "person", "retry(force=True)"),
    *(
        Move(Status.PENDING, outcome, "release", "it shares the outcome of the task with its external id")
        for outcome in sorted(FINAL)
    ),
)
"""Every transition there is; the tests hold the SQL and the documentation against it."""


def statuses_of(given: Status | str | Sequence[Status | str]) -> list[Status]:
    """One status or several, as they are named.

    Raises:
        InvalidInput: there is none of this name.
    """
    names = [given] if isinstance(given, str) else list(given)
    try:
        return [Status(name) for name in names]
    except ValueError:
        raise InvalidInput(f"status is one of {', '.join(Status)}, not {given!r}") from None

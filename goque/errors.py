"""Every error that goque raises on purpose, as one tree. Not for: errors of user functions, raised as themselves.

GoqueError
├── InvalidInput (ValueError)        an argument goque cannot accept
│   ├── UnknownOption                an option that does not exist, with the close ones
│   ├── NotSerializable (TypeError)  a function, argument or payload that cannot be stored
│   ├── PayloadError                 a payload that does not fit its task type
│   ├── PayloadTooLarge              an argument, or a closure, over the limit
│   └── DuplicateTask                the external id is taken and on_duplicate="error"
├── BatchMismatch                    the name is taken by a batch of other work
├── InUse                            a batch that is unfinished, or needed elsewhere, is not deleted
├── NotFound (LookupError)           no such batch, task or queue
├── TaskFailed                       the task ended without a result
│   ├── TaskCanceled                 canceled by a person, the code, expiry or a refused signature
│   └── ResultTooLarge               the function returned more than a result may hold
├── ResultUnavailable                there was a result, this process cannot have it
│   ├── ResultExpired                the retention of the task is over
│   ├── KeyMissing                   the key that signed it is not here
│   ├── SignatureInvalid             the bytes are not what was signed
│   └── PythonMismatch               only another Python version can load it
├── NotCommitted                     the transaction that holds the task has not ended
├── WaitingInsideTask                a task may not wait for other tasks
├── AppUnusable                      an application's registry cannot be loaded
├── ReadOnly                         this queue looks and changes nothing
├── ServerError                      the embedded server cannot be used, with the remedy
└── DatabaseError                    PostgreSQL refused or could not be reached
    ├── DatabaseUnavailable          no connection; the same call may succeed later
    ├── NotPermitted                 the database role lacks a right
    └── MigrationNeeded              the schema is missing, older or newer than this version

Control flow inside a task, not errors of goque: Cancel, GiveUp, RetryAfter, Snooze.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any


class GoqueError(Exception):
    """Base of all errors that goque raises on purpose."""


class InvalidInput(GoqueError, ValueError):
    """An argument that goque cannot accept; the message says what would be accepted."""


class UnknownOption(InvalidInput):
    """An option that does not exist. ``name`` is what was given, ``close`` the names that resemble it."""

    def __init__(self, message: str, *, name: str, close: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.close = tuple(close)


class NotSerializable(InvalidInput, TypeError):
    """A function, an argument or a payload that cannot be stored; nothing was stored."""


class PayloadError(InvalidInput):
    """A payload that does not fit its task type. Not retried: the same payload would fail again."""


class PayloadTooLarge(InvalidInput):
    """An argument or a closure over the limit. ``size`` and ``limit`` are bytes."""

    def __init__(self, message: str, *, size: int, limit: int) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class DuplicateTask(InvalidInput):
    """The external id is taken. ``task_id`` is the task that has it."""

    def __init__(self, message: str, *, external_id: str, task_id: int) -> None:
        super().__init__(message)
        self.external_id = external_id
        self.task_id = task_id


class BatchMismatch(GoqueError):
    """A batch of this name holds other work.

    ``added`` and ``removed`` are positions: of the new items that the batch lacks, and of the batch's items
    that are not among the new ones. ``function_changed`` says whether the function differs.
    """

    def __init__(self, message: str, *, added: Sequence[int], removed: Sequence[int], function_changed: bool) -> None:
        super().__init__(message)
        self.added = tuple(added)
        self.removed = tuple(removed)
        self.function_changed = function_changed


class InUse(GoqueError):
    """A batch that cannot be deleted now: it is unfinished, or tasks elsewhere share the outcome of some of its own."""


class NotFound(GoqueError, LookupError):
    """No batch, task or queue of that name or id."""


class TaskFailed(GoqueError):
    """A task ended without a result and its own exception cannot be raised here.

    ``task_id``, ``error_type`` and ``remote_traceback`` say what happened where it ran.
    """

    def __init__(
        self, message: str, *, task_id: int | None = None, error_type: str = "", remote_traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.error_type = error_type
        self.remote_traceback = remote_traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class TaskCanceled(TaskFailed):
    """The task was canceled; the message gives the reason."""


class ResultTooLarge(TaskFailed):
    """The function returned more than a result may hold; the message gives size, limit and remedy."""


class ResultUnavailable(GoqueError):
    """There was a result, but this process cannot have it."""


class ResultExpired(ResultUnavailable):
    """The task was cleaned after its retention, or superseded."""


class KeyMissing(ResultUnavailable):
    """The bytes were signed under a key that this process does not hold. ``key_id`` names it."""

    def __init__(self, message: str, *, key_id: str) -> None:
        super().__init__(message)
        self.key_id = key_id


class SignatureInvalid(ResultUnavailable):
    """The bytes are not what was signed under this key: changed, moved or forged. They were not unpickled."""


class PythonMismatch(ResultUnavailable):
    """Only another Python minor version can load it. ``python`` is that version, as "3.13"."""

    def __init__(self, message: str, *, python: str) -> None:
        super().__init__(message)
        self.python = python


class NotCommitted(GoqueError):
    """The caller's transaction that holds the task has not been committed."""


class WaitingInsideTask(GoqueError):
    """A task may not wait for other tasks: with every slot waiting, nothing would run."""


class AppUnusable(GoqueError):
    """An application's registry cannot be loaded; the message has what its import said."""


class ReadOnly(GoqueError):
    """The queue was opened with ``read_only=True``."""


class ServerError(GoqueError):
    """The embedded server cannot be started or used; the message gives the remedy."""


class DatabaseError(GoqueError):
    """PostgreSQL refused a statement. ``sqlstate`` is its five-letter code, empty when there was no answer."""

    def __init__(self, message: str, *, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class DatabaseUnavailable(DatabaseError):
    """There is no connection to be had, or it broke. The outcome of a broken commit is unknown."""


class NotPermitted(DatabaseError):
    """The database role of this session lacks the right to it. Nothing was changed."""


class MigrationNeeded(DatabaseError):
    """The schema is missing, older or newer than this version of goque; the message gives the command."""

    def __init__(self, message: str, *, found: int | None, wanted: int) -> None:
        super().__init__(message)
        self.found = found
        self.wanted = wanted


class HistoryTruncated(UserWarning):
    """A limit cut the frame; the message says how much is missing and which filter helps."""


class Cancel(Exception):
    """Raise inside a task: end it as ``canceled``, for this reason."""


class GiveUp(Exception):
    """Raise inside a task: end it as ``attempts_left`` now, whatever attempts remain."""


class RetryAfter(Exception):
    """Raise inside a task: this attempt failed; run again after ``delay`` (seconds, timedelta or "10m")."""

    def __init__(self, delay: float | timedelta | str, message: str = "") -> None:
        super().__init__(message or f"retry after {delay}")
        self.delay = delay


class Snooze(Exception):
    """Raise inside a task: not now; run again after ``delay``. Charges no attempt."""

    def __init__(self, delay: float | timedelta | str, message: str = "") -> None:
        super().__init__(message or f"snoozed for {delay}")
        self.delay = delay


def _rebuild(kind: type[GoqueError], args: tuple[Any, ...], state: dict[str, Any]) -> GoqueError:
    error = kind.__new__(kind)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error

"""Exceptions as data, and data as exceptions again. Not for: deciding whether a task is retried.

A `Failure` is made in the child that ran the task and rebuilt where somebody asks for the result: the user's own
exception type where it can be imported, with the remote traceback as its cause.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goque.errors import TaskFailed
from goque.payload.codec import dumps, is_portable, loads
from goque.payload.digests import type_and_module
from goque.payload.functions import python_version
from goque.payload.origins import installed

TRACEBACK_LIMIT = 64 * 1024
MESSAGE_LIMIT = 8 * 1024
EXCEPTION_LIMIT = 1024 * 1024
_OWN_FOLDER = str(Path(__file__).parents[1]) + os.sep


class RemoteTraceback(Exception):
    """The traceback of another process, as the ``__cause__`` of the exception that ended there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n\n{self.text.rstrip()}"


@dataclass(frozen=True, slots=True)
class Failure:
    """What is kept of an exception.

    ``error_type`` is ``ValueError`` or ``module.Name``; ``traceback`` at most 64 KiB, the middle cut; ``user_frame``
    the last line of the user's own code, "file:line function"; ``exception`` its pickle, None when it has none that
    loads again. All text can be stored by PostgreSQL.
    """

    error_type: str
    message: str
    traceback: str
    user_frame: str = ""
    exception: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that this exception is. Never raises, whatever the exception's own methods do."""
        return cls(
            error_type=_type_name(error),
            message=shortened(storable(_message(error)), MESSAGE_LIMIT),
            traceback=shortened(storable(_traceback(error)), TRACEBACK_LIMIT),
            user_frame=storable(_user_frame(error)),
            exception=_pickled(error),
        )


def rebuild(failure: Failure, *, note: str = "", task_id: int | None = None, python: str = "") -> BaseException:
    """The exception to raise for a failed task: its own type where that loads here, else TaskFailed.

    ``failure.exception`` must have been verified. ``python`` is the version it was made by: code of another one is not
    loaded. ``note`` says which task, attempt, worker and host.
    """
    error = _unpickled(failure.exception, python)
    if error is None:
        error = TaskFailed(
            f"{failure.error_type}: {failure.message}" if failure.message else failure.error_type,
            task_id=task_id,
            error_type=failure.error_type,
            remote_traceback=failure.traceback,
        )
    if failure.traceback:
        error.__cause__ = RemoteTraceback(failure.traceback)
    if note:
        error.add_note(note)
    return error


def shortened(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8: the beginning and the end, for both tell most."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    mark = f"\n... {len(raw) - limit} bytes cut ...\n"
    half = (limit - len(mark) - 16) // 2
    return raw[:half].decode(errors="ignore") + mark + raw[-half:].decode(errors="ignore")


def storable(text: str) -> str:
    """Text as PostgreSQL takes it: no NUL, no lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else type_and_module(kind)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<its text cannot be had: {type(broken).__name__} in __str__>"


def _traceback(error: BaseException) -> str:
    try:
        shown = traceback.TracebackException.from_exception(error, compact=True)
        for part in _chain(shown):
            users = [frame for frame in part.stack if not frame.filename.startswith(_OWN_FOLDER)]
            # An error of goque itself keeps its frames: there is nothing else to show.
            part.stack = traceback.StackSummary.from_list(users) if users else part.stack
        return "".join(shown.format())
    except Exception as broken:
        return f"{_type_name(error)}: <its traceback cannot be had: {type(broken).__name__}>\n"


def _chain(shown: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    waiting: list[traceback.TracebackException | None] = [shown]
    while waiting:
        part = waiting.pop()
        if part is not None:
            yield part
            waiting += [part.__cause__, part.__context__, *(part.exceptions or ())]


def _user_frame(error: BaseException) -> str:
    """The last frame in the user's own files; else the last one that is not goque's."""
    last = ""
    own = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        filename = frame.f_code.co_filename
        if filename.startswith(_OWN_FOLDER):
            continue
        last = f"{filename}:{line} {frame.f_code.co_name}"
        own = own if installed(filename) else last
    return own or last


def _pickled(error: BaseException) -> bytes | None:
    if not isinstance(error, Exception):
        return None  # SystemExit and its like would end the process that asks for the result
    for candidate in (error, _Bare(error)):
        try:
            data = dumps(candidate, EXCEPTION_LIMIT)
            loaded = loads(data)
            # An __init__ that builds its message from other arguments may take the message for one of them.
            if type(loaded) is type(error) and _message(loaded) == _message(error):
                return data
        except Exception:
            continue
    return None


class _Bare:
    """Pickles an exception by type, arguments and attributes, for types whose ``__init__`` takes something else."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self._error), self._error.args, self._error.__dict__)


def _revive(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _unpickled(data: bytes | None, python: str) -> BaseException | None:
    if data is None or (python and python != python_version() and not is_portable(data)):
        return None
    try:
        error = loads(data)
    except Exception:
        return None
    return _as_defined_here(error) if isinstance(error, Exception) else None


def _as_defined_here(error: Exception) -> Exception:
    """With the notebook's own class of that name, which a restarted kernel has defined anew."""
    kind = type(error)
    here = getattr(sys.modules.get("__main__"), kind.__name__, None)
    if kind.__module__ == "__main__" and isinstance(here, type) and here is not kind and issubclass(here, Exception):
        try:
            error.__class__ = here
        except TypeError:
            return error
    return error

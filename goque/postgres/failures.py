"""Turning what the driver raises into goque's errors, once, and going on over an outage. Not for: user errors."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from goque.errors import (
    DatabaseError,
    DatabaseUnavailable,
    GoqueError,
    InvalidInput,
    MigrationNeeded,
    NotPermitted,
    ReadOnly,
)
from goque.model.texts import half_character
from goque.postgres import sources
from goque.postgres.addresses import place

_logger = logging.getLogger("goque.postgres")
_T = TypeVar("_T")

_UNAVAILABLE_STATES = frozenset({"53300", "57P01", "57P02", "57P03", "57P04", "57P05"})
_NO_TEXT = frozenset({"22021", "22P05"})
"""What is no text to PostgreSQL, as such and inside JSON."""
# A refused log-in carries no SQLSTATE in the driver, only the server's words; those that no retry can mend:
_REFUSED_FOR_GOOD = (
    (re.compile(r"password authentication failed|no password supplied|authentication failed"), "28P01"),
    (re.compile(r"no pg_hba\.conf entry|role \"[^\"]*\" does not exist|is not permitted to log in"), "28000"),
    (re.compile(r"database \"[^\"]*\" does not exist"), "3D000"),
    (re.compile(r"invalid \w+ value|certificate|does not support SSL"), ""),
)


class translated:  # noqa: N801 - used as a block, and too often for a generator
    """Wrap every driver error of the block into the tree of ``goque.errors``; others pass."""

    __slots__ = ("_doing", "_dsn", "_read_only", "_schema")

    def __init__(self, dsn: str, schema: str, doing: str, *, read_only: bool = False) -> None:
        self._dsn, self._schema, self._doing, self._read_only = dsn, schema, doing, read_only

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            where = place(self._dsn)
            # Not shown as the cause: its details may hold stored values. It stays reachable as __context__.
            raise translate(error, where, self._schema, self._doing, read_only=self._read_only) from None
        if isinstance(error, UnicodeEncodeError):
            raise InvalidInput(f"PostgreSQL cannot hold such a text ({self._doing}): {half_character(error)}") from None


def translate(error: psycopg.Error, where: str, schema: str, doing: str, *, read_only: bool = False) -> GoqueError:
    """The error that callers see. Only the server's primary message is repeated: details may hold user data."""
    state = error.sqlstate or ""
    said = (error.diag.message_primary or str(error).partition("\n")[0]).strip()
    if _is_outage(error, state):
        if "unsupported startup parameter" in str(error):
            return DatabaseError(
                f"A pooler at {where} refuses settings of a session. Behind one use Queue(dsn, listen=False) and "
                "goque worker --no-listen.",
            )
        for pattern, refused_state in _REFUSED_FOR_GOOD:
            if not state and pattern.search(str(error)):
                if refused_state == "3D000":
                    remedy = f"Create it: createdb {where.rpartition('/')[2]}, or correct the DSN (GOQUE_DSN)."
                else:
                    remedy = "Check user, password and database of the DSN (GOQUE_DSN, PGPASSFILE)."
                return DatabaseError(
                    f"PostgreSQL at {where} refused the log-in: {_last_line(error)}. {remedy}", sqlstate=refused_state
                )
        unknown_host = "could not translate host name" in said or "failed to resolve host" in said
        remedy = "Check the host name in the DSN" if unknown_host else "Check that it runs and accepts connections"
        return DatabaseUnavailable(
            f"PostgreSQL at {where} cannot be reached ({doing}): {said or 'connection lost'}. {remedy}; the same call "
            "may be repeated.",
            sqlstate=state,
        )
    if (state == "3F000" and schema in said) or (state == "42P01" and f"{schema}." in said):
        return MigrationNeeded(
            f"The schema {schema!r} at {where} lacks what {doing} needs: {said}. Run: "
            f"goque migrate{sources.schema_option(schema)}",
            found=None,
            wanted=sources.newest(),
        )
    if state == "42703":
        return MigrationNeeded(
            f"The schema {schema!r} at {where} is not the one that this version of goque was written for ({doing}: "
            f"{said}). It may have been migrated meanwhile: end this process, and start it with the goque that the "
            f"schema was migrated for. What is missing, says: goque migrate --check{sources.schema_option(schema)}",
            found=None,
            wanted=sources.newest(),
        )
    if state == "25006" and read_only:
        return ReadOnly(f"{doing} would change something, and this queue was opened with read_only=True.")
    # Without a state the driver refuses it, before anything is sent.
    if state in _NO_TEXT or (isinstance(error, psycopg.DataError) and not state):
        return InvalidInput(f"PostgreSQL cannot hold such a value ({doing}): {said}. Text may not contain NUL.")
    if state == "42501":
        return NotPermitted(
            f"PostgreSQL at {where} refused {doing}: {said}. Connect as a role that may, or have this one put into "
            "one that goque migrate --roles makes, to look, submit, work or operate; goque doctor says what it may.",
            sqlstate=state,
        )
    code = f" [{state}]" if state else ""
    return DatabaseError(f"PostgreSQL at {where} refused {doing}: {said}{code}.{_remedy(state)}", sqlstate=state)


def call_with_backoff(
    action: Callable[[], _T],
    *,
    give_up_after: float | None = None,
    stop: threading.Event | None = None,
    shortest: float = 0.05,
    longest: float = 5.0,
) -> _T:
    """Call until it does not raise ``DatabaseUnavailable``, waiting longer each time, with jitter.

    ``give_up_after`` seconds (None: never), or once ``stop`` is set, the last error is raised. The action may run
    more than once: it must be safe to repeat after a commit whose answer was lost.
    """
    give_up_at = None if give_up_after is None else time.monotonic() + give_up_after
    pause = stop or threading.Event()
    longest_now = shortest
    while True:
        try:
            return action()
        except DatabaseUnavailable as error:
            wait = random.uniform(longest_now / 2, longest_now)
            late = give_up_at is not None and time.monotonic() + wait > give_up_at
            if late or pause.is_set():
                raise
            _logger.warning("%s Next try in %.1f s.", error, wait)
            if pause.wait(wait):
                raise
        longest_now = min(longest, longest_now * 2)


def _is_outage(error: psycopg.Error, state: str) -> bool:
    if state:
        return state.startswith("08") or state in _UNAVAILABLE_STATES
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def _last_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0].rpartition("FATAL:")[2].strip()


def _remedy(state: str) -> str:
    if state in ("55P03", "57014"):
        return (
            " It waited too long for a lock or ran too long; look for a long transaction in pg_stat_activity, then "
            "repeat."
        )
    if state in ("40001", "40P01"):
        return " Nothing was changed; repeat the call."
    if state in ("53100", "53200"):
        return " Free disk space or memory on the server, then repeat the call."
    return ""

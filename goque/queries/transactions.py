"""Which transaction this is, and what became of one. Not for: opening or ending one (``postgres``)."""

from __future__ import annotations

from typing import Any

from goque.sql import BIGINT, TEXT, Bind, Query, Statement, function, lit, scalar, select, template
from goque.sql.types import XID8

UNDER_WAY = "in progress"
"""What PostgreSQL says of a transaction that has not ended."""
NO_SUCH_TRANSACTION = "22023"
"""SQLSTATE: a transaction of this number is still to come."""
WAITED_TOO_LONG = "55P03"
"""SQLSTATE: somebody held what was to be locked for longer than we wait."""


_HERE = function("current_database", TEXT).cast(TEXT)  # of type name by itself


@template(read=tuple)
def _current() -> Query[Any]:
    number = function("pg_current_xact_id", XID8).cast(TEXT).cast(BIGINT)
    return select(number.as_("number"), _HERE.as_("database"))


def current() -> Statement[tuple[int, str]]:
    """The number of this very transaction, and the database that it is in."""
    return _current.bind()


@template(read=tuple)
def _state() -> Query[Any]:
    state = function("pg_xact_status", TEXT, Bind("number", BIGINT).cast(TEXT).cast(XID8), nullable=True)
    return select(state.as_("state"), _HERE.as_("database"))


def state(number: int) -> Statement[tuple[str | None, str]]:
    """What became of a transaction ("committed", "aborted", ``UNDER_WAY``; None long after), and the database here."""
    return _state.bind(number=number)


@template(read=scalar)
def _wait_at_most() -> Query[Any]:
    set_here = function("set_config", TEXT, Bind("name", TEXT), Bind("length", TEXT), lit(True))
    return select(set_here.as_("length"))


def wait_at_most(milliseconds: int) -> Statement[str]:
    """From here to its end, this transaction waits no longer for a lock: it fails with ``WAITED_TOO_LONG``."""
    return _wait_at_most.bind(name="lock_timeout", length=f"{milliseconds}ms")

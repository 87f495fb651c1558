"""Opening connections and keeping a few of them. Not for: running statements (``verbs``).

The pool is our own because it has to do three things that psycopg_pool does not: start no thread, open nothing
before first use, and forget everything in a forked child.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from select import POLLIN, poll
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg.pq import TransactionStatus

from goque.errors import DatabaseUnavailable
from goque.postgres import addresses
from goque.postgres.adapters import Adaptation
from goque.postgres.failures import translated

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Planner: TypeAlias = Literal["free", "pinned"]

# A connection that answers nothing is given up after about a minute, also where the network swallows packets.
_TRANSPORT = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# Nothing of goque may hold others up for long: one statement, one wait for a lock, one pause inside a transaction.
LIMITS = {
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
# The same the other way round: a client that is gone without a word keeps its session, and what it has locked, so long.
_KEEPALIVES = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
# Who waited for a lock must see what the other wrote. Sessions of a pooler have what the database says (see doctor).
_ISOLATION = {"default_transaction_isolation": r"read\ committed"}
_FORMS = {"TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres", "bytea_output": "hex"}
# Without statistics (right after a large COPY) the planner sorts all ready rows for each claim, at a fifth of the pace.
# Claims and heartbeats share a connection: one wait for a lock must not cost a worker its lease.
PINNED = {
    "lock_timeout": "3s",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
# Without statistics a bitmap is made of a batch's whole range of ids and sorted, for each step that wants the next few.
FREE = {"enable_bitmapscan": "off"}
_WAIT_FOR_CONNECTION = 30.0


@dataclass(frozen=True, slots=True)
class Profile:
    """How sessions are opened. ``pooler`` means that nothing may belong to the session, only to transactions."""

    dsn: str
    schema: str = "goque"
    pooler: bool = False
    read_only: bool = False
    application_name: str = "goque"
    planner: Planner = "free"

    def __repr__(self) -> str:
        return f"Profile({addresses.safe_dsn(self.dsn)!r}, schema={self.schema!r}, planner={self.planner!r})"

    @property
    def place(self) -> str:
        """``host:port/database`` for messages."""
        return addresses.place(self.dsn)

    def with_planner(self, planner: Planner) -> Profile:
        """The same sessions with another planner."""
        return replace(self, planner=planner)

    def session_settings(self) -> dict[str, str]:
        """What the server is told at connect."""
        reading = {"default_transaction_read_only": "on"} if self.read_only else {}
        return LIMITS | _KEEPALIVES | _ISOLATION | _FORMS | reading | (PINNED if self.planner == "pinned" else FREE)

    def transaction_settings(self) -> dict[str, str]:
        """What each transaction begins with; empty where the session has it already."""
        if not self.pooler:
            return {}
        reading = {"transaction_read_only": "on"} if self.read_only else {}
        return reading | LIMITS | (PINNED if self.planner == "pinned" else FREE)


def connect(profile: Profile) -> Connection:
    """A new connection in autocommit; driver errors come wrapped."""
    given = addresses.parameters(profile.dsn)
    arguments: dict[str, Any] = {key: value for key, value in _TRANSPORT.items() if key not in given}
    if "PGCONNECT_TIMEOUT" in os.environ:
        arguments.pop("connect_timeout", None)
    if "application_name" not in given:
        arguments["fallback_application_name"] = profile.application_name
    arguments["client_encoding"] = "utf8"
    if not profile.pooler:
        ours = " ".join(f"-c {name}={value}" for name, value in profile.session_settings().items())
        theirs = given.get("options") or os.environ.get("PGOPTIONS", "")
        arguments["options"] = f"{ours} {theirs}".strip()
    with translated(profile.dsn, profile.schema, "connecting"):
        return psycopg.connect(
            profile.dsn,
            autocommit=True,
            prepare_threshold=None if profile.pooler else 5,
            context=Adaptation(own_time_zone=not profile.pooler),
            **arguments,
        )


def usable(connection: Connection) -> bool:
    """Whether an idle connection still stands: a server that hung up has left its last words and an end of file."""
    if connection.closed or connection.pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    if not _something_to_read(connection):
        return True
    try:
        connection.pgconn.consume_input()  # a notice, or what an encrypted channel sends on its own
    except psycopg.Error:
        return False
    return not _something_to_read(connection)


def _something_to_read(connection: Connection) -> bool:
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))


class Pool:
    """Up to ``size`` connections, opened when needed, the last one used first. Thread-safe and safe to fork."""

    def __init__(self, profile: Profile, size: int) -> None:
        self._profile = profile
        self._size = size
        self._idle: list[Connection] = []
        self._out = 0
        self._changed = threading.Condition()
        self._closed = False
        _forkable.add(self)

    def borrow(self) -> Loan:
        """A connection for a block. One that comes back broken or inside a transaction is thrown away."""
        return Loan(self)

    def close(self) -> None:
        """Close the idle connections now, those in use when they come back. Later use opens new ones."""
        with self._changed:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def forget(self) -> None:
        """In a forked child: drop the parent's sockets without a word to the server."""
        for connection in self._idle:
            abandon(connection)
        self._idle, self._out, self._changed = [], 0, threading.Condition()

    def _take(self) -> Connection:
        give_up_at = time.monotonic() + _WAIT_FOR_CONNECTION
        dead: list[Connection] = []
        try:
            with self._changed:
                while self._out >= self._size:
                    if not self._changed.wait(give_up_at - time.monotonic()) and self._out >= self._size:
                        raise DatabaseUnavailable(
                            f"All {self._size} connections to {self._profile.place} have been busy for "
                            f"{_WAIT_FOR_CONNECTION:.0f} s; close open streams and transactions, or allow more "
                            "connections."
                        )
                self._out += 1
                while self._idle:
                    connection = self._idle.pop()
                    if usable(connection):
                        return connection
                    dead.append(connection)
        finally:
            for connection in dead:
                connection.close()
        try:
            return connect(self._profile)
        except BaseException:
            with self._changed:
                self._out -= 1
                self._changed.notify()
            raise

    def _give_back(self, connection: Connection) -> None:
        keep = not connection.closed and connection.pgconn.transaction_status == TransactionStatus.IDLE
        with self._changed:
            self._out -= 1
            if keep:
                self._idle.append(connection)
            self._changed.notify()
        if not keep:
            connection.close()


class Loan:
    """A connection of a pool for the length of a block. Made for each statement, so it is no generator."""

    __slots__ = ("_connection", "_generation", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __enter__(self) -> Connection:
        self._connection, self._generation = self._pool._take(), self._pool._changed
        return self._connection

    def __exit__(self, *_: object) -> None:
        if self._generation is self._pool._changed:  # else: a fork happened inside, and this side never owned it
            self._pool._give_back(self._connection)


class Pinned:
    """One connection of its own, opened at first use and again after it was lost. One thread at a time."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._connection: Connection | None = None
        self._lock = threading.RLock()
        self._depth = 0
        _forkable.add(self)

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """The connection for the block; inside a block the same thread gets the same one."""
        with self._lock:
            connection = self._standing()
            self._depth += 1
            try:
                yield connection
            finally:
                self._depth -= 1
                if not self._depth and connection.pgconn.transaction_status != TransactionStatus.IDLE:
                    connection.close()

    def close(self) -> None:
        """Close it; the next use opens a new one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def forget(self) -> None:
        """In a forked child: drop the parent's socket without a word to the server."""
        if self._connection is not None:
            abandon(self._connection)
        self._connection, self._lock, self._depth = None, threading.RLock(), 0

    def _standing(self) -> Connection:
        if self._connection is not None and not self._depth and not usable(self._connection):
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = connect(self._profile)
        return self._connection


_abandoned: list[Connection] = []
_forkable: weakref.WeakSet[Pool | Pinned] = weakref.WeakSet()


def abandon(connection: Connection) -> None:
    """Let go of a connection that belongs to the parent process.

    Closing it the usual way would end the parent's session; keeping the socket open would keep the session alive
    after the parent died. So only this process's descriptor is closed, and the object is kept, unused, for ever.
    """
    with suppress(OSError, psycopg.Error):
        os.close(connection.fileno())
    _abandoned.append(connection)


def _forget_all() -> None:
    for holder in list(_forkable):
        holder.forget()


os.register_at_fork(after_in_child=_forget_all)

"""Hearing notifications: one LISTEN connection that comes back. Not for: sending them (``Verbs.notify``).

A notification is a hint and can be missed while the connection is away, so whoever listens reads again at ``on_gap``.
"""

from __future__ import annotations

import os
import select
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress

import psycopg
from psycopg import sql

from goque.errors import InvalidInput
from goque.postgres.connections import Connection, abandon, connect
from goque.postgres.database import Database
from goque.postgres.failures import translated
from goque.service import Service

_LOOK_AGAIN = 30.0


class Listener(Service):
    """Calls ``on_notify(channel, payload)`` for each notification, and ``on_gap()`` after each (re)connect.

    Both are called in the listener's thread and must be quick. ``on_gap`` comes after LISTEN took effect: what is
    read then, or announced later, is not missed.
    """

    tells_outages = False  # whoever listens also reads, and that fails as well

    def __init__(
        self,
        database: Database,
        channels: Iterable[str],
        on_notify: Callable[[str, str], None],
        on_gap: Callable[[], None] = lambda: None,
        *,
        name: str = "listener",
    ) -> None:
        super().__init__(name, interval=0.0)
        if database.pooler:
            raise InvalidInput("Behind a pooler a session cannot LISTEN; use listen=False, which polls instead.")
        self._profile = database.profile
        self._channels = tuple(channels)
        self._on_notify = on_notify
        self._on_gap = on_gap
        self._connection: Connection | None = None
        self._owner = os.getpid()
        self._bell_out, self._bell_in = self._bell()

    @property
    def backend_pid(self) -> int | None:
        """The server process of the connection, None while there is none."""
        connection = self._connection
        return None if connection is None or connection.closed else connection.info.backend_pid

    def start(self) -> None:
        """Start listening; in a forked child with a connection and a bell of its own."""
        if self._owner != os.getpid():
            if self._connection is not None:
                abandon(self._connection)
            self._connection, self._owner = None, os.getpid()
            self._bell_out, self._bell_in = self._bell()
        super().start()

    def wake(self) -> None:
        """End the wait for notifications now."""
        super().wake()
        with suppress(BlockingIOError):  # full of unheard wake-ups: it will wake
            os.write(self._bell_in, b"!")

    def run_once(self) -> float | None:
        """Connect if need be, wait until something arrives, and pass it on."""
        with translated(self._profile.dsn, self._profile.schema, "listening"):
            if self._connection is None or self._connection.closed:
                self._connection = self._listen()
                self._on_gap()
            try:
                self._wait(self._connection)
                self._pass_on(self._connection)
            except BaseException:
                self._connection.close()
                raise
        return 0.0

    def on_stop(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _listen(self) -> Connection:
        connection = connect(self._profile)
        try:
            for channel in self._channels:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        except BaseException:
            connection.close()
            raise
        return connection

    def _wait(self, connection: Connection) -> None:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN)
        waiting.register(self._bell_out, select.POLLIN)
        for descriptor, _ in waiting.poll(_LOOK_AGAIN * 1000):
            if descriptor == self._bell_out:
                os.read(self._bell_out, 4096)

    def _pass_on(self, connection: Connection) -> None:
        # consume_input raises once the server has hung up, also where nothing else would notice.
        connection.pgconn.consume_input()
        while (heard := connection.pgconn.notifies()) is not None:
            self._on_notify(heard.relname.decode(), heard.extra.decode())
        if connection.pgconn.status != psycopg.pq.ConnStatus.OK:
            raise psycopg.OperationalError("the server closed the connection")

    def _bell(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        for end in (reading, writing):
            os.set_blocking(end, False)
            # Not at exit: whoever stops the listener then still rings.
            weakref.finalize(self, os.close, end).atexit = False
        return reading, writing

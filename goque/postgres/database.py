"""The one small thing that talks to PostgreSQL. Not for: what is said (``goque.queries``) or why (the services)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from goque.errors import InvalidInput
from goque.postgres import addresses
from goque.postgres.callers import CallersTransaction
from goque.postgres.connections import Connection, Pinned, Planner, Pool, Profile
from goque.postgres.verbs import Transaction, Verbs
from goque.sql.statement import Statement, quoted_schema


class Database(Verbs):
    """A PostgreSQL database with goque's schema in it.

    Nothing is opened before the first verb. Threads may share it, a forked child opens its own connections, and a lost
    connection is replaced at the next verb. ``pooler=True`` keeps no state in a session (PgBouncer in transaction
    mode): limits are set in each transaction, nothing is prepared.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "goque",
        max_connections: int = 3,
        pooler: bool = False,
        read_only: bool = False,
        application_name: str = "goque",
    ) -> None:
        quoted_schema(schema)  # refuses a name that cannot be a schema
        if max_connections < 1:
            raise InvalidInput(f"max_connections={max_connections} leaves none to work with; give 1 or more.")
        addresses.parameters(dsn)  # refuses an unreadable one now, not at first use
        super().__init__(Profile(dsn, schema, pooler, read_only, application_name))
        self._pool = Pool(self._profile, max_connections)

    def __repr__(self) -> str:
        return f"Database({addresses.safe_dsn(self.dsn)!r}, schema={self.schema!r})"

    @property
    def dsn(self) -> str:
        """The address in use, secrets included: never log it."""
        return self._profile.dsn

    @property
    def shown(self) -> str:
        """The address without its secrets and without parameters, for reprs."""
        return addresses.safe_dsn(self.dsn).partition("?")[0]

    @property
    def profile(self) -> Profile:
        """How its sessions are opened."""
        return self._profile

    @property
    def pooler(self) -> bool:
        """Whether sessions are shared by a pooler, so that LISTEN is not to be had."""
        return self._profile.pooler

    def dedicated(self, planner: Planner = "pinned") -> Dedicated:
        """A connection of its own with the same verbs, for a hot path; it replaces itself after a loss.

        ``pinned`` takes the choice of plans away from the planner and prepares each statement at first use.
        """
        return Dedicated(self._profile.with_planner(planner))

    def adopt(self, connection: Any) -> Transaction:
        """The verbs inside the caller's own transaction, on a psycopg 3 or SQLAlchemy connection."""
        return CallersTransaction(connection, self._profile, self)

    def close(self) -> None:
        """Close what is open. A later verb opens anew."""
        self._pool.close()

    def _connection(self) -> AbstractContextManager[Connection]:
        return self._pool.borrow()


class Dedicated(Verbs):
    """The verbs on one connection that nobody else uses. Threads take turns."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile, prepare=True if profile.planner == "pinned" else None)
        self._pinned = Pinned(profile)

    def __repr__(self) -> str:
        return f"Dedicated({self._profile!r})"

    def mark(self, statement: Statement[Any]) -> None:
        """From now on every transaction begins with this statement, but for those that are one short statement."""
        self._mark = statement

    def close(self) -> None:
        """Close the connection. A later verb opens a new one."""
        self._pinned.close()

    def _connection(self) -> AbstractContextManager[Connection]:
        return self._pinned.borrow()

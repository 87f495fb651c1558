"""Work that belongs to a transaction of the application. Not for: opening, committing or rolling back that one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goque.app.core import Core
from goque.app.giving import Giving
from goque.client.units import Commit, Unit
from goque.errors import DatabaseError, InvalidInput
from goque.model.options import Options
from goque.queries import transactions


class Outbox(Giving):
    """Gives, cancels and retries in the application's transaction. Made by ``q.using(connection)``.

    It may be kept as long as its connection, over many transactions. Functions, types and lanes are stored outside of
    the transaction and stay when it is rolled back; nobody sees them then.

    Raises:
        InvalidInput: by each verb, when no transaction is open or can be opened on the connection, or it is one to
            another database than the queue's.
    """

    def __init__(self, core: Core, connection: Any, options: Options, given: Mapping[str, Any]) -> None:
        self._core = core
        self._connection = connection
        self._options = options
        self._given = dict(given)
        self._is_ours = False

    def __repr__(self) -> str:
        return f"<Outbox of {self._core.database.shown} in the transaction of {type(self._connection).__name__}>"

    def _unit(self) -> Unit:
        core = self._core
        transaction = core.database.adopt(self._connection)
        number, name = transaction.one(transactions.current())
        if not self._is_ours:
            self._require_ours(number, name)

        def under_way() -> bool:
            return core.database.one(transactions.state(number))[0] == transactions.UNDER_WAY

        return core.unit.within(transaction, Commit(core.database, under_way))

    def _require_ours(self, number: int, name: str) -> None:
        """Ids and lanes of another database would mean other things there."""
        try:
            self._is_ours = self._core.database.one(transactions.state(number)) == (transactions.UNDER_WAY, name)
        except DatabaseError as error:
            if error.sqlstate != transactions.NO_SUCH_TRANSACTION:
                raise
        if not self._is_ours:
            raise InvalidInput(
                f"this connection leads to a database {name!r} which is not that of the queue, "
                f"{self._core.database.shown}; work is given where the queue lives"
            )

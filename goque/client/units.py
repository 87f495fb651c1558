"""Where work is given: on the queue's own connections, or in a transaction of the application. Not for: giving it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from goque.client.maps import Maps
from goque.client.singles import Singles
from goque.client.waker import Waker
from goque.errors import NotCommitted, NotFound
from goque.postgres.verbs import Verbs
from goque.sql import Statement


class Commit:
    """Whether what was given together is there for everybody."""

    def __init__(self, database: Verbs, under_way: Callable[[], bool]) -> None:
        """``under_way`` tells whether the transaction has still to end."""
        self._database = database
        self._under_way = under_way
        self._there = False

    def require(self, what: str, presence: Statement[Any]) -> None:
        """
        Raises:
            NotCommitted: the transaction that holds it has not ended.
            NotFound: it ended without it.
        """
        if self._there or self._is_there(presence):
            return
        if self._under_way():
            raise NotCommitted(f"{what} is part of a transaction that has not been committed; ask again after it")
        if not self._is_there(presence):  # it may have been committed since the first look
            raise NotFound(f"{what} was part of a transaction that was rolled back, so it does not exist")

    def _is_there(self, presence: Statement[Any]) -> bool:
        self._there = self._database.first(presence) is not None
        return self._there


@dataclass(frozen=True, slots=True)
class Unit:
    """Where work is given and changed. ``commit`` is of the application's transaction, None outside of one."""

    database: Verbs
    waker: Waker
    singles: Singles
    maps: Maps
    owner: str
    commit: Commit | None = None

    def within(self, transaction: Verbs, commit: Commit) -> Unit:
        """The same inside a transaction of the application."""
        singles, maps = self.singles.within(transaction), self.maps.within(transaction)
        return Unit(transaction, Waker(transaction), singles, maps, self.owner, commit)

"""Saying that work is left: by those before us, or by us. Not for: taking it on (``Queue.resume``)."""

from __future__ import annotations

import logging
from collections.abc import Collection

from goque.errors import GoqueError
from goque.model.wording import number_of
from goque.postgres.database import Database
from goque.queries import lanes

log = logging.getLogger("goque")


def announce(database: Database, owner: str) -> None:
    """Tell the user that work of an earlier process waits and that no worker is there who might be at it."""
    left = database.one(lanes.left_alone(owner))
    if left:
        verb = "has" if left == 1 else "have"
        log.warning(
            "goque: %s of yours %s not ended, and no worker is alive; q.resume() goes on", number_of(left, "task"), verb
        )


def farewell(database: Database, served: Collection[int]) -> None:
    """Tell the user that what our local workers served has not ended, since they end with us."""
    if not served:
        return
    try:
        left = database.one(lanes.left_in(sorted(served)))
    except GoqueError:
        return  # a process that ends owes nobody this
    if left:
        verb = "has" if left == 1 else "have"
        log.warning(
            "goque: %s %s not ended, and the workers of this process end with it; q.resume() in another one, or goque "
            "worker, goes on",
            number_of(left, "task"),
            verb,
        )

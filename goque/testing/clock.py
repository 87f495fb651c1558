"""Time for tests. Not for: databases of anybody's work, which are refused."""

from __future__ import annotations

from datetime import timedelta

from goque.app.queue import Queue
from goque.errors import InvalidInput
from goque.model.durations import seconds
from goque.queries import settings
from goque.queries.moments import Word
from goque.queries.testing import moments_earlier
from goque.testing.databases import MARK


def advance(queue: Queue, by: float | timedelta | str) -> None:
    """Let so much time pass (seconds, timedelta or "1h"): what is due, expires or is kept until then, is so now.

    The database's clock decides and cannot be moved, so every moment that the database has noted moves back instead.

    Raises:
        InvalidInput: the database was not made for a test, or time would go back.
    """
    step = seconds(by)
    if step < 0:
        raise InvalidInput(f"time only goes on; {by!r} would turn it back")
    core = queue._core
    core.require_writable()
    if core.database.first(settings.setting(MARK)) is None:
        raise InvalidInput(
            "advance() changes every moment in a database, and this one was not made for a test; take the fixture "
            "'queue' of goque.testing, or a database of goque.testing.database()"
        )
    with core.database.transaction() as transaction:
        transaction.pipeline(moments_earlier(step))
    core.waker.say(Word.DUE)

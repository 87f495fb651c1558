"""Declaring and pausing schedules. Not for: making their tasks (``maintenance.scheduler``)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from goque.errors import InvalidInput, NotFound
from goque.model.schedules import Schedule, check, next_slot
from goque.postgres.verbs import Verbs
from goque.queries import deployments, moments, schedules

log = logging.getLogger("goque")


def declare(
    database: Verbs, app: str, declared: Sequence[Schedule], version: int | None = None, *, anew: bool = False
) -> bool:
    """Make these the schedules of an app, unless a newer deployment of it has declared its own.

    Call it for an app without schedules too: it may have had some. Schedules that are the same keep their next slot.

    Args:
        app: whose schedules these are, such as "package.module:name".
        version: a number from 1 that grows with each deployment; it goes before deployments that give none. Among
            equals, and without one, what the database was shown first is the older.
        anew: this is the newest of its version, even if it was declared before: a person asks for it now.

    Returns:
        Whether they hold.

    Raises:
        InvalidInput: something in them cannot be; nothing was changed.
    """
    names = [check(schedule).name for schedule in declared]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"two schedules of {app} are called {twice[0]!r}; give one of them another name=")
    number = version or 0
    now = database.one(moments.current())
    first = [(one, now if one.run_on_start else next_slot(one, now)) for one in declared]
    digest = deployments.digest_of(declared, number)
    _, _, changed, retired, [newest] = database.pipeline(
        [
            deployments.take_turn(),
            deployments.see(app, digest, number, anew=anew),
            deployments.put(app, digest, first),
            deployments.retire(app, digest, names),
            deployments.is_newest(app, digest),
        ]
    )
    if changed or retired:
        log.info("schedules of %s: %s declared, %s retired", app, len(changed), len(retired))
    if not newest:
        log.warning(
            "the schedules of %s stay as a newer deployment declared them. If this one is meant to be the newest, give "
            "its Registry a higher version=, or run: goque schedules forget %s",
            app,
            app,
        )
    return bool(newest)


def set_paused(database: Verbs, names: Sequence[str], paused: bool) -> None:
    """Pause or resume these schedules; without names all that are declared now.

    Raises:
        NotFound: one is not declared; nothing was changed.
    """
    known = sorted(database.all(schedules.names()))
    for name in names:
        if name not in known:
            raise NotFound(
                f"there is no schedule {name!r}; " + (f"there are {', '.join(known)}" if known else "none is")
            )
    database.pipeline([deployments.take_turn(), schedules.set_paused(names or known, paused)])


def forget(database: Verbs, app: str) -> None:
    """Remove an app's schedules and forget its deployments: whichever declares next is the newest.

    Raises:
        NotFound: no app of that name has declared any.
    """
    if not database.pipeline([deployments.take_turn(), deployments.forget(app)])[1]:
        raise NotFound(f"no app {app!r} has declared schedules; goque schedules shows those that have")

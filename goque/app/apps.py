"""Applications' registries on their way to a worker: looked at, told to the database. Not for: running them."""

from __future__ import annotations

from collections.abc import Iterable

from goque.app import schedules
from goque.errors import AppUnusable
from goque.model.manifest import App
from goque.postgres.verbs import Verbs
from goque.queries import types
from goque.worker.child.apps import described, packed
from goque.worker.task.registry import Registry


def gathered(given: Iterable[Registry | str]) -> list[App]:
    """What these offer: registries of this process with their code, named ones ("package.module:name") without.

    Raises:
        AppUnusable: one cannot be loaded, or two have a task type of the same name.
        NotSerializable, PayloadTooLarge: one cannot travel.
    """
    found = [packed(one) if isinstance(one, Registry) else described(one) for one in given]
    names: set[str] = set()
    for app in found:
        for one in app.types:
            if one.name in names:
                raise AppUnusable(f"two of the given apps have a task type {one.name!r}; rename one")
            names.add(one.name)
    return found


def declare(database: Verbs, apps: Iterable[App], owner: str) -> None:
    """Tell everybody what these apps offer. A registry of this process is one app of its ``owner``, anew each time.

    Raises:
        InvalidInput: a schedule that cannot be; nothing of its app was told.
    """
    for app in apps:
        schedules.declare(
            database, app.reference or f"notebook of {owner}", app.schedules, app.version, anew=not app.reference
        )
        if app.types:
            database.pipeline(types.declare(app.types))

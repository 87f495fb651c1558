"""The duties that every worker brings along, made in one place. Not for: the duties themselves (``maintenance``)."""

from __future__ import annotations

from collections.abc import Callable

from goque.maintenance.bookkeeper import Bookkeeper
from goque.maintenance.cleaner import Cleaner
from goque.maintenance.expirer import Expirer
from goque.maintenance.healer import Healer
from goque.maintenance.promoter import Promoter
from goque.maintenance.scheduler import Scheduler
from goque.maintenance.sweeper import Sweeper
from goque.model.events import Events
from goque.postgres.verbs import Verbs
from goque.service import Service


class SharedDuties:
    """What keeps a queue in order, from healing to cleaning: each in a thread, beside those of other workers."""

    def __init__(
        self, database: Verbs, ready: Callable[[], None], events: Events | None = None, *, clean: bool = True
    ) -> None:
        """``ready`` is called when one of them made something ready to be claimed. ``clean``: remove what is old."""
        events = events or Events()
        self._healer = Healer(database, healed=ready, events=events)
        self._promoter = Promoter(database, promoted=ready, events=events)
        scheduler = Scheduler(database, made=ready, events=events)
        self._sweeper = Sweeper(database)
        others = [Expirer(database, events=events), scheduler, Bookkeeper(database)]
        services: list[Service] = [self._healer, self._promoter, *others, self._sweeper]
        self._services = [*services, Cleaner(database, events=events)] if clean else services

    def start(self) -> None:
        """Start all of them."""
        for service in self._services:
            service.start()

    def others_lost(self) -> None:
        """Workers were declared lost: free what they held now."""
        self._healer.wake()

    def look_when_due(self) -> None:
        """Something was added that waits for its time."""
        self._promoter.wake()

    def share_the_rest(self) -> None:
        """More tasks share an outcome than were given it."""
        self._sweeper.wake()

    def stop(self) -> None:
        """End all of them."""
        for service in self._services:
            service.stop()
        for service in self._services:
            service.join(5.0)

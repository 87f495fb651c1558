"""A worker that serves everybody: ``goque worker``. Not for: a notebook's own (``app.local_process``)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from goque.app.apps import declare, gathered
from goque.app.duties import SharedDuties
from goque.app.garbage import spare_collector
from goque.app.local import ring_of
from goque.app.signals import on_stop
from goque.app.spawning import Spawner
from goque.errors import InvalidInput
from goque.model.events import Events
from goque.observe import tracing
from goque.payload.keys import KeyRing
from goque.postgres import embedded, migrations
from goque.postgres.database import Database
from goque.settings import Settings
from goque.worker.crew import WorkerConfig
from goque.worker.worker import Worker

log = logging.getLogger("goque.worker")


@dataclass(slots=True)
class Served:
    """How the serving ended: the reason, and the signal whose repetition stopped it at once, if one did."""

    because: str = ""
    at_once: int | None = None
    _signals: list[int] = field(default_factory=list)

    def heard(self, number: int) -> None:
        """A signal has come; the second one is the last word."""
        self._signals.append(number)
        if len(self._signals) > 1:
            self.at_once = number


def serve(
    settings: Settings,
    config: WorkerConfig,
    apps: Sequence[str] = (),
    *,
    events: Events | None = None,
    metrics: tuple[str, int] | None = None,
) -> Served:
    """Work until something in ``config`` ends it, or a signal: the first SIGTERM or SIGINT stops in an orderly way,
    the second at once. Blocks; for the main thread. ``apps`` are registries, as "package.module:name".
    ``events`` knows who wants to hear what happens. ``metrics`` is an address and a port to serve metrics at.

    Raises:
        AppUnusable: one of them cannot be loaded.
        InvalidInput: metrics cannot be served there, or prometheus_client is missing.
        ServerError, DatabaseUnavailable: there is no server to be had.
        MigrationNeeded: the schema of a shared server is missing, older or newer.
    """
    found = gathered(apps)
    database, ring = _prepared(settings, pooler=not config.listen)
    declare(database, found, settings.owner)
    database.close()  # a worker has three connections, and this would be the fourth
    events = events or Events()
    traces = tracing.found()
    traces.follow(events)
    worker = Worker(
        database,
        ring,
        replace(config, owner=settings.owner, apps=found),
        duties=partial(SharedDuties, events=events, clean=config.clean),
        spawner=partial(Spawner, tracing=traces),
        events=events,
    )
    served = Served()

    def stop(number: int) -> None:
        served.heard(number)
        log.info("stopping at once" if served.at_once else "stopping; a second signal stops at once")
        worker.request_stop()

    on_stop(stop)
    spare_collector()
    try:
        with _served(worker, events, metrics):
            worker.run()
    finally:
        database.close()
    served.because = worker.ended_because
    return served


@contextmanager
def _served(worker: Worker, events: Events, metrics: tuple[str, int] | None) -> Iterator[None]:
    """Metrics of this worker, where somebody wants them."""
    if metrics is None:
        yield
        return
    try:
        from goque.observe import prometheus
    except ModuleNotFoundError as error:
        raise InvalidInput(f'metrics need {error.name}: pip install "goque[metrics]"') from None
    with prometheus.served(prometheus.Metrics(events, worker.database, lambda: worker.load), *metrics) as address:
        log.info("metrics at %s", address)
        yield


def _prepared(settings: Settings, *, pooler: bool) -> tuple[Database, KeyRing]:
    """The database with its schema as it must be, and the keys."""
    dsn = settings.dsn or embedded.ensure(settings.home)
    database = Database(dsn, schema=settings.schema, max_connections=1, pooler=pooler, application_name="goque worker")
    try:
        if settings.embedded:
            migrations.migrate(database)
        else:
            migrations.check(database)
        ring = ring_of(settings.secret, settings.key_file if settings.embedded else None, create=True)
    except BaseException:
        database.close()
        raise
    if ring.is_empty:
        log.warning(
            "no key: this worker runs unsigned work, which whoever can write to the database can submit. Set "
            "GOQUE_SECRET to one secret for all clients and workers"
        )
    return database, ring

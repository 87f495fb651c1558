"""procrastinate: coroutines, ten at once in a worker (more gave nothing), woken by NOTIFY; deferred in one statement.

Its recommended connector (psycopg 3 with a pool), finished jobs kept, as it comes. It claims one job per statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import procrastinate

from benchmarks.peers.starts import note_start
from benchmarks.work import square

OPEN = "select 1 from procrastinate_jobs where status in ('todo', 'doing')"
BULK = 40_000
DRAIN = 1_000


def set_up(dsn: str) -> None:
    """Its schema."""
    with _app(procrastinate.SyncPsycopgConnector(conninfo=dsn)).open() as app:
        app.schema_manager.apply_schema()


@contextmanager
def client(dsn: str) -> Iterator[_Client]:
    """Its synchronous connector."""
    with _app(procrastinate.SyncPsycopgConnector(conninfo=dsn)).open() as app:
        yield _Client(app)


def work(dsn: str) -> None:
    """Its worker."""
    _app(procrastinate.PsycopgConnector(conninfo=dsn)).run_worker(concurrency=10)


class _Client:
    def __init__(self, app: procrastinate.App) -> None:
        self._square, self._start = app.tasks["square"], app.tasks["start"]

    def enqueue(self, count: int) -> None:
        self._square.batch_defer(*({"number": number} for number in range(count)))

    def submit(self, count: int) -> None:
        for number in range(count):
            self._square.defer(number=number)

    def start(self) -> None:
        self._start.defer()


def _app(connector: procrastinate.BaseConnector) -> procrastinate.App:
    app = procrastinate.App(connector=connector)

    async def run_square(number: int) -> int:
        return square(number)

    async def run_start() -> None:
        note_start()

    app.task(name="square")(run_square)
    app.task(name="start")(run_start)
    return app

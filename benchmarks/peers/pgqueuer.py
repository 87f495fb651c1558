"""pgqueuer: asyncpg on uvloop, coroutines, batches of 500 (ten as it comes, a quarter as quick); one INSERT for many.

Finished jobs go from its queue to its log, as it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers.starts import note_start
from benchmarks.work import square

OPEN = "select 1 from pgqueuer"
BULK = 50_000
DRAIN = 30_000


def set_up(dsn: str) -> None:
    """Its schema."""
    with client(dsn) as one:
        one.run(one.queries.install())


@contextmanager
def client(dsn: str) -> Iterator[_Client]:
    """One connection on a loop that stands still meanwhile."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        connection = runner.run(asyncpg.connect(dsn))
        yield _Client(runner, Queries(AsyncpgDriver(connection)))
        runner.run(connection.close())


def work(dsn: str) -> None:
    """Its worker."""
    uvloop.run(_work(dsn))


async def _work(dsn: str) -> None:
    queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(dsn)))

    @queuer.entrypoint("square")
    async def run_square(job: Job) -> None:
        square(int(job.payload or b"0"))

    @queuer.entrypoint("start")
    async def run_start(_: Job) -> None:
        note_start()

    await queuer.run(batch_size=500)


class _Client:
    def __init__(self, runner: asyncio.Runner, queries: Queries) -> None:
        self._runner = runner
        self.queries = queries

    def run(self, what: Coroutine[Any, Any, object]) -> None:
        self._runner.run(what)

    def enqueue(self, count: int) -> None:
        payloads: list[bytes | None] = [b"%d" % number for number in range(count)]
        self.run(self.queries.enqueue(["square"] * count, payloads, [0] * count))

    def submit(self, count: int) -> None:
        async def submit() -> None:
            for number in range(count):
                await self.queries.enqueue("square", b"%d" % number)

        self.run(submit())

    def start(self) -> None:
        self.run(self.queries.enqueue("start", None))

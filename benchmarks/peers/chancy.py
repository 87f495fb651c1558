"""chancy: its executor for coroutines, 100 at once; pushed in batches of 1,000, as it comes, with one NOTIFY each.

Its process executor, as it comes, does about 200 tasks a second. It writes completions once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from chancy import Chancy, Queue, Worker, job

from benchmarks.peers.starts import note_start
from benchmarks.work import square

OPEN = "select 1 from chancy_jobs where state in ('pending', 'running', 'retrying')"
BULK = 15_000
DRAIN = 8_000


@job(queue="default")
async def run_square(*, number: int) -> int:
    """Nothing to do."""
    return square(number)


@job(queue="default")
async def run_start() -> None:
    """Tell when it began."""
    note_start()


def set_up(dsn: str) -> None:
    """Its schema and a queue."""

    async def migrate() -> None:
        async with Chancy(dsn) as chancy:
            await chancy.migrate()
            await chancy.declare(Queue("default", concurrency=100, executor=Chancy.Executor.Async, eager_polling=True))

    asyncio.run(migrate())


@contextmanager
def client(dsn: str) -> Iterator[_Client]:
    """Its synchronous interface."""
    with Chancy(dsn) as chancy:
        yield _Client(chancy)


def work(dsn: str) -> None:
    """Its worker."""

    async def run() -> None:
        async with Chancy(dsn) as chancy, Worker(chancy) as worker:
            await worker.wait_for_shutdown()

    asyncio.run(run())


class _Client:
    def __init__(self, chancy: Chancy) -> None:
        self._chancy = chancy

    def enqueue(self, count: int) -> None:
        jobs = [run_square.job.with_kwargs(number=number) for number in range(count)]
        for _ in self._chancy.sync_push_many(jobs):
            pass

    def submit(self, count: int) -> None:
        for number in range(count):
            self._chancy.sync_push(run_square.job.with_kwargs(number=number))

    def start(self) -> None:
        self._chancy.sync_push(run_start.job)

"""awa: coroutines, 1,024 slots (50 as it comes, half as quick: a slot is held until its job is durably done), COPY.

Its queue storage, as a fresh installation has it. Enqueued by ``enqueue_many_copy``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import awa

from benchmarks.peers.starts import note_start
from benchmarks.work import square

# What was given less what is done: its view of all jobs is too costly to be looked at while it works.
OPEN = """
select 1 from generate_series(1,
    (select sum(last_value) from pg_sequences where schemaname = 'awa' and sequencename like 'queue_enqueue_seq%')
    - (select coalesce(sum(completed_count), 0) from awa.receipt_completion_batches)
    - (select coalesce(sum(pruned_completed_count), 0) from awa.queue_terminal_rollups))
"""
BULK = 100_000
DRAIN = 20_000


@dataclass
class Square:
    """The arguments of a job name its kind."""

    number: int


@dataclass
class Start:
    """The same for the one that tells when it began."""

    number: int


def set_up(dsn: str) -> None:
    """Its schema."""
    with awa.Client(_url(dsn)) as one:
        one.migrate()
        one.install_queue_storage()


@contextmanager
def client(dsn: str) -> Iterator[_Client]:
    """Its synchronous client."""
    with awa.Client(_url(dsn)) as one:
        yield _Client(one)


def work(dsn: str) -> None:
    """Its worker."""
    asyncio.run(_work(dsn))


async def _work(dsn: str) -> None:
    worker = awa.AsyncClient(_url(dsn), max_connections=10)

    @worker.task(Square)
    async def run_square(job: awa.Job) -> None:
        square(job.args.number)

    @worker.task(Start)
    async def run_start(_: awa.Job) -> None:
        note_start()

    await worker.start([("default", 1024)])
    await asyncio.Event().wait()


def _url(dsn: str) -> str:
    """It wants the name of a host, even where a socket is told of."""
    return dsn.replace("@/", "@localhost/")


class _Client:
    def __init__(self, one: awa.Client) -> None:
        self._client = one

    def enqueue(self, count: int) -> None:
        self._client.enqueue_many_copy([Square(number) for number in range(count)])

    def submit(self, count: int) -> None:
        for number in range(count):
            self._client.insert(Square(number))

    def start(self) -> None:
        self._client.insert(Start(0))

"""dbos: workflows from a queue that is looked at every 50 ms (1 s as it comes), eight threads (quicker than more).

There is no call that enqueues many; the client enqueues them one by one. It keeps results.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig

from benchmarks.peers.starts import note_start
from benchmarks.work import square

OPEN = "select 1 from dbos.workflow_status where status in ('ENQUEUED', 'PENDING')"
BULK = 1_500
DRAIN = 1_500
_QUEUE = "work"
_POLL_S = 0.05


@DBOS.workflow(name="square")
def run_square(number: int) -> int:
    """Nothing to do."""
    return square(number)


@DBOS.workflow(name="start")
def run_start() -> None:
    """Tell when it began."""
    note_start()


def set_up(dsn: str) -> None:
    """Its schema and a queue."""
    _launch(dsn)
    DBOS.register_queue(_QUEUE, polling_interval_sec=_POLL_S)
    DBOS.destroy()


@contextmanager
def client(dsn: str) -> Iterator[_Client]:
    """Its client."""
    one = DBOSClient(system_database_url=_url(dsn), application_name="bench")
    yield _Client(one)
    one.destroy()


def work(dsn: str) -> None:
    """Its worker."""
    _launch(dsn)
    threading.Event().wait()


def _launch(dsn: str) -> None:
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": _url(dsn),
        "application_version": "1",
        "max_executor_threads": 8,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()


def _url(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg://")


class _Client:
    def __init__(self, one: DBOSClient) -> None:
        self._client = one

    def enqueue(self, count: int) -> None:
        self.submit(count)

    def submit(self, count: int) -> None:
        for number in range(count):
            self._enqueue("square", number)

    def start(self) -> None:
        self._enqueue("start")

    def _enqueue(self, name: str, *arguments: Any) -> None:
        self._client.enqueue({"workflow_name": name, "queue_name": _QUEUE, "app_version": "1"}, *arguments)

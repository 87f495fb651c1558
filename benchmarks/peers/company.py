"""Which peers there are, and what each has in a run: a database, a client, processes. Not for: their settings."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Protocol

import psycopg

# Module of benchmarks.peers and package to import, what it is called on PyPI.
PEERS = {"pgqueuer": "pgqueuer", "awa": "awa-pg", "chancy": "chancy", "dbos": "dbos", "procrastinate": "procrastinate"}
LIMIT_S = 60.0
"""No drain of a peer takes longer; what takes longer is an error."""


class Client(Protocol):
    """What gives tasks to a peer: ``count`` at once, ``count`` one by one, and one that tells when it began."""

    def enqueue(self, count: int) -> None: ...
    def submit(self, count: int) -> None: ...
    def start(self) -> None: ...


class Peer:
    """A peer that is installed, with a fresh database for each round."""

    def __init__(self, name: str, server: str) -> None:
        self.name = PEERS[name]
        self.module: ModuleType = import_module(f"benchmarks.peers.{name}")
        self._server = server
        self._short = name
        self._databases = 0

    def fresh(self) -> str:
        """The address of a database with its tables and no task."""
        template = f"peer_{self._short}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            if not self._databases:
                connection.execute(f"create database {template}".encode())
                self.module.set_up(database_of(self._server, template))
            self._databases += 1
            name = f"{template}_{self._databases}"
            connection.execute(f"create database {name} template {template}".encode())
        return database_of(self._server, name)

    def client(self, dsn: str) -> AbstractContextManager[Client]:
        """Give it tasks."""
        return self.module.client(dsn)  # type: ignore[no-any-return]

    @contextmanager
    def workers(self, dsn: str, count: int) -> Iterator[Workers]:
        """So many worker processes, ended with the block."""
        with ExitStack() as stack:
            yield Workers([stack.enter_context(_process(self._short, dsn)) for _ in range(count)])

    def drain(self, dsn: str, count: int) -> float:
        """Tasks per second of what is queued, by so many worker processes, from the first completion to the last."""
        with self.workers(dsn, count) as workers, psycopg.connect(dsn, autocommit=True) as looker:
            queued = left = _left(looker, self.module.OPEN)
            ends = time.monotonic() + LIMIT_S
            workers.go()
            gone = time.perf_counter()
            while left == queued:
                _pause(0.005, ends)
                left = _left(looker, self.module.OPEN)
            began = time.perf_counter()
            if not left:  # so few that the first look was too late
                return queued / (began - gone)
            while True:
                looked = time.perf_counter()
                if not _any_left(looker, self.module.OPEN):
                    return left / (looked - began)
                look = time.perf_counter() - looked
                _pause(max(0.02, 20 * look), ends)  # looking shall not cost the server more than a twentieth


class Workers:
    """Worker processes that have imported what they need and wait for the word."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("a worker of a peer did not start")

    def go(self) -> None:
        """Let them look for work."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()


@contextmanager
def _process(name: str, dsn: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.peers", name]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(dsn + "\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()


def peers(server: str, options: argparse.Namespace) -> list[Peer]:
    """Those that are wanted and installed."""
    wanted = getattr(options, "peers", None)
    names = list(PEERS) if wanted is None else [name for name in PEERS if name in wanted.split(",")]
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        left_out(*(PEERS[name] for name in missing))
    return [Peer(name, server) for name in names if name not in missing]


def left_out(*names: str) -> None:
    """Tell that a side is missing, and how to have it; beside the figures, which machines may read."""
    print(f"  left out, not installed: {', '.join(names)} (pip install -e '.[bench]')", file=sys.stderr, flush=True)


def _left(connection: psycopg.Connection, unfinished: str) -> int:
    row = connection.execute(f"select count(*) from ({unfinished}) unfinished".encode()).fetchone()
    assert row is not None
    return int(row[0])


def _any_left(connection: psycopg.Connection, unfinished: str) -> bool:
    row = connection.execute(f"select exists ({unfinished})".encode()).fetchone()
    assert row is not None
    return bool(row[0])


def _pause(seconds: float, ends: float) -> None:
    if time.monotonic() > ends:
        raise TimeoutError(f"a peer did not drain its queue within {LIMIT_S:g} s")
    time.sleep(seconds)


def database_of(server: str, database: str) -> str:
    """The same server, another database: without password, since the embedded server is behind a socket."""
    before, _, after = server.partition("/postgres?")
    assert after, "not an embedded server"
    return f"{before}/{database}?{after}"

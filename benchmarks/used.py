"""Does a drain stay as fast with millions of finished or delayed tasks, a pinned snapshot, many queues, many workers?

python -m benchmarks.used [--tasks 100000] [--rounds 5] [--finished 10000000] [--json]

Every state of the tables is compared with fresh ones of the same run.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import psycopg

from benchmarks.cleaning import finished_batch
from benchmarks.drain import drain_rate
from benchmarks.measuring import Figures, Goal, run
from benchmarks.peers.company import database_of
from benchmarks.servers import fresh_server
from benchmarks.work import square

if TYPE_CHECKING:
    from goque import Queue

    Prepared = Callable[[Queue], AbstractContextManager[None]]

FINISHED = 1_000_000
TEN_MILLION = 10_000_000
DELAYED = 1_000_000
SECRET = "d5" * 32
QUEUES = 1_000
STATES = ("finished tasks", "a pinned snapshot", "delayed tasks", "many queues", "ten million finished")
GOALS = (
    *(Goal(f"{state} / plain", f"with {state}", f"plain, beside {state}", least=0.9) for state in STATES),
    Goal("pinned, last quarter / first quarter", "pinned, last quarter", "pinned, first quarter", least=0.9),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Each state in a database of its own, in turns with drains of fresh tables in another one of the same server."""
    states = dict(zip(STATES, (_finished, _pinned, _delayed, _many_queues, _ten_million), strict=True))
    if options.finished < TEN_MILLION:
        del states["ten million finished"]
    os.environ["GOQUE_SECRET"] = SECRET
    try:
        _measure(figures, options, states)
    finally:
        del os.environ["GOQUE_SECRET"]


def _measure(figures: Figures, options: argparse.Namespace, states: dict[str, Prepared]) -> None:
    for state, prepared in states.items():
        rate = _queues_rate if prepared is _many_queues else drain_rate
        with fresh_server() as dsn, _ends(dsn, "plain") as plain, _ends(dsn, "used") as used, prepared(used[0]):
            for _ in range(options.rounds):
                figures.note(f"plain, beside {state}", drain_rate(*plain, options.tasks))
                figures.note(f"with {state}", rate(*used, options.tasks))
                if prepared is _pinned:
                    _quarters(figures, used[0], used[1][0], 2 * options.tasks)


@contextmanager
def _ends(server: str, name: str) -> Iterator[tuple[Queue, list[Queue]]]:
    """A client, and another one that has the workers, of a database of their own; signed as on an embedded server."""
    from goque import Queue

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    dsn = database_of(server, name)
    with Queue(dsn, workers=0, migrate=True) as submitter, Queue(dsn, workers=2) as runner:
        runner.submit(square, 1).result()
        yield submitter, [runner]


@contextmanager
def _finished(submitter: Queue) -> Iterator[None]:
    finished_tasks(submitter, FINISHED)
    yield


@contextmanager
def _ten_million(submitter: Queue) -> Iterator[None]:
    with psycopg.connect(submitter.dsn, autocommit=True) as connection:
        for _ in range(TEN_MILLION // FINISHED):
            finished_batch(submitter, connection, FINISHED, days=0)
        connection.execute("vacuum analyze goque.task")
    yield


@contextmanager
def _pinned(submitter: Queue) -> Iterator[None]:
    with psycopg.connect(submitter.dsn) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select count(*) from pg_class").fetchone()
        yield


@contextmanager
def _delayed(submitter: Queue) -> Iterator[None]:
    submitter.options(delay="1d").map(square, range(DELAYED))
    yield


@contextmanager
def _many_queues(_: Queue) -> Iterator[None]:
    yield


def _queues_rate(submitter: Queue, runners: list[Queue], count: int) -> float:
    """As many tasks in a thousand maps, each in a queue of its own."""
    share = max(1, count // QUEUES)
    for number in range(QUEUES):
        submitter.options(queue=f"queue-{number}").map(square, range(share))
    with psycopg.connect(submitter.dsn, autocommit=True) as connection:
        began = time.perf_counter()
        runners[0].resume()
        while connection.execute("select sum(new + processing + error) from goque.tally").fetchone() != (0,):
            time.sleep(0.02)
    return share * QUEUES / (time.perf_counter() - began)


def _quarters(figures: Figures, submitter: Queue, runner: Queue, count: int) -> None:
    """Whether a drain becomes slower while it goes on."""
    batch = submitter.map(square, range(count))
    quarters: list[float] = []
    began = time.perf_counter()
    runner.batch(batch.id)
    while len(quarters) < 4:
        done = batch.counts()["done"]
        if done >= count * (len(quarters) + 1) / 4:
            quarters.append(time.perf_counter() - began)
        time.sleep(0.02)
    figures.note("pinned, first quarter", count / 4 / quarters[0])
    figures.note("pinned, last quarter", count / 4 / (quarters[3] - quarters[2]))


def finished_tasks(q: Queue, count: int, *, share: int = 100_000) -> None:
    """So many finished tasks, their last state written by SQL, since running them would take minutes."""
    for first in range(0, count, share):
        batch = q.map(square, range(min(share, count - first)))
        with psycopg.connect(q.dsn) as connection:
            connection.execute(
                """
                update goque.task set status = 'done', run = 1, attempts = 1, seq = -seq, result = args,
                       started_at = now(), finished_at = now() + interval '1 millisecond'
                where lane_id in (select id from goque.lane where batch_id = %s)
                """,
                (batch.id,),
            )
            connection.execute(
                """
                update goque.tally set new = 0, done = new
                where lane_id in (select id from goque.lane where batch_id = %s)
                """,
                (batch.id,),
            )
    with psycopg.connect(q.dsn, autocommit=True) as connection:
        connection.execute("vacuum analyze goque.task")


if __name__ == "__main__":
    import benchmarks.used

    run(benchmarks.used)

"""Does a drain stay as fast with millions of finished or delayed tasks, a pinned snapshot, many queues, many workers?

python -m benchmarks.used [--tasks 100000] [--rounds 5] [--finished 10000000] [--json]

Every state of the tables is compared with fresh ones of the same run.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import psycopg

from benchmarks.cleaning import finished_batch
from benchmarks.drain import drain_rate
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server
from benchmarks.work import square

if TYPE_CHECKING:
    from goque import Queue

FINISHED = 1_000_000
TEN_MILLION = 10_000_000
DELAYED = 1_000_000
QUEUES = 1_000
STATES = ("finished tasks", "a pinned snapshot", "delayed tasks", "many queues")
GOALS = (
    *(Goal(f"{state} / plain", f"with {state}", "plain", least=0.9) for state in STATES),
    Goal("ten million finished / plain", "with ten million finished", "plain", least=0.9),
    Goal("pinned, last quarter / first quarter", "pinned, last quarter", "pinned, first quarter", least=0.9),
)


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """Each state on a server of its own, with plain drains before it on the same one."""
    for prepare in (_finished, _pinned, _delayed, _many_queues):
        with fresh_server():
            from goque import Queue

            with Queue(workers=0) as submitter, Queue(workers=2) as runner:
                runner.submit(square, 1).result()
                for _ in range(options.rounds):
                    figures.note("plain", drain_rate(submitter, [runner], options.tasks))
                prepare(figures, submitter, runner, options)


def _finished(figures: Figures, submitter: Queue, runner: Queue, options: argparse.Namespace) -> None:
    finished_tasks(submitter, FINISHED)
    for _ in range(options.rounds):
        figures.note("with finished tasks", drain_rate(submitter, [runner], options.tasks))
    if options.finished < TEN_MILLION:
        return
    with psycopg.connect(submitter.dsn, autocommit=True) as connection:
        for _ in range(TEN_MILLION // FINISHED - 1):
            finished_batch(submitter, connection, FINISHED, days=0)
        connection.execute("vacuum analyze goque.task")
    for _ in range(options.rounds):
        figures.note("with ten million finished", drain_rate(submitter, [runner], options.tasks))


def _pinned(figures: Figures, submitter: Queue, runner: Queue, options: argparse.Namespace) -> None:
    with psycopg.connect(submitter.dsn) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select count(*) from pg_class").fetchone()
        for _ in range(options.rounds):
            figures.note("with a pinned snapshot", drain_rate(submitter, [runner], options.tasks))
        count = 2 * options.tasks
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


def _delayed(figures: Figures, submitter: Queue, runner: Queue, options: argparse.Namespace) -> None:
    submitter.options(delay="1d").map(square, range(DELAYED))
    for _ in range(options.rounds):
        figures.note("with delayed tasks", drain_rate(submitter, [runner], options.tasks))


def _many_queues(figures: Figures, submitter: Queue, runner: Queue, options: argparse.Namespace) -> None:
    share = options.tasks // QUEUES
    for _ in range(options.rounds):
        batches = [submitter.options(queue=f"queue-{number}").map(square, range(share)) for number in range(QUEUES)]
        with figures.rate("with many queues", share * QUEUES):
            for batch in batches:
                runner.batch(batch.id)
            while not all(batch.done() for batch in reversed(batches)):
                time.sleep(0.05)


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

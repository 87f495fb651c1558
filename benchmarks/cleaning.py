"""How fast does finished work go that is past its retention, beside one DELETE of as many rows and the raw drain?

python -m benchmarks.cleaning [--tasks 100000] [--rounds 5] [--json]

What is removed must go faster than it can come about, or a busy database grows for ever.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import psycopg

from benchmarks import raw
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import fresh_server, pinned
from benchmarks.work import square

if TYPE_CHECKING:
    from goque import Queue

GOALS = (
    Goal("batches / raw DELETE", "batches", "raw DELETE", least=0.05),
    Goal("batches / raw drain", "batches", "raw claim+complete", least=1.0),
    Goal("single tasks / raw drain", "single tasks", "raw claim+complete", least=1.0),
)
LONG_AGO = 60
"""Days, more than what is kept by default."""
_ROWS = """
insert into goque.task
        (id, lane_id, seq, status, run, attempts, worker_id, args, result, started_at, finished_at, created_at)
    select %(first)s + n, %(lane)s, -n - 1, 'done', 1, 1, 7,
           decode(repeat('78', 40), 'hex'), decode(repeat('72', 30), 'hex'), moment.at, moment.at, moment.at
    from generate_series(0, %(count)s::bigint - 1) n,
         lateral (select now() - make_interval(days => %(days)s) - n * interval '1 microsecond' as at) moment
"""
_COUNTED = """
insert into goque.tally (lane_id, done, changed_at)
    values (%(lane)s, %(count)s, now() - make_interval(days => %(days)s))
"""
_OLD = """
update goque.batch set total = %(count)s,
        created_at = now() - make_interval(days => %(days)s), changed_at = now() - make_interval(days => %(days)s)
    where id = %(batch)s
"""


def measure(figures: Figures, options: argparse.Namespace) -> None:
    """One round each of the DELETE, of a batch, of as many single tasks, and of the raw loop that makes such rows."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as q, psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(options.rounds):
            singles = 1_000_000 + number * options.tasks
            lane = q.submit(square, 1)._row().lane
            _fill(connection, singles, lane, options.tasks)
            with pinned(dsn) as other, figures.rate("raw DELETE", options.tasks):
                other.execute(b"delete from goque.task where id >= %s and id < %s", (singles, singles + options.tasks))
            _fill(connection, singles, lane, options.tasks)
            with figures.rate("single tasks", options.tasks):
                gone = q.clean()
            assert gone["tasks"] == options.tasks, gone
            finished_batch(q, connection, options.tasks, days=LONG_AGO)
            with figures.rate("batches", options.tasks):
                gone = q.clean()
            assert gone["tasks"] == options.tasks, gone
            raw.enqueue(dsn, options.tasks)
            figures.note("raw claim+complete", raw.drain(dsn))


def finished_batch(q: Queue, connection: psycopg.Connection, count: int, *, days: int) -> None:
    """A batch of so many tasks that were done so many days ago, written by SQL."""
    batch = q.map(square, [1])
    batch.cancel()
    [lane] = batch._lanes()
    connection.execute(b"delete from goque.task where lane_id = %s", (lane,))
    connection.execute(b"delete from goque.tally where lane_id = %s", (lane,))
    connection.execute(_OLD.encode(), {"batch": batch.id, "count": count, "days": days})
    _fill(connection, batch.id * 10**9, lane, count, days)


def _fill(connection: psycopg.Connection, first: int, lane: int, count: int, days: int = LONG_AGO) -> None:
    """Tasks that ended so long ago."""
    values = {"first": first, "lane": lane, "count": count, "days": days}
    connection.execute(_ROWS.encode(), values)
    connection.execute(_COUNTED.encode(), values)
    connection.execute("checkpoint")


if __name__ == "__main__":
    import benchmarks.cleaning

    run(benchmarks.cleaning)

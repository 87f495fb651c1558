"""Producers at half the drain's rate for a minute: how long from call to outcome, and at what cost for the server?

python -m benchmarks.sustained [--json]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import psycopg

from benchmarks.drain import drained
from benchmarks.measuring import Figures, Goal, run
from benchmarks.servers import Meter, fresh_server
from benchmarks.work import square

if TYPE_CHECKING:
    from goque import Queue

SECONDS = 60
STEP_S = 0.05
GOALS = (
    Goal("end to end, p99", "end to end, p99", most=100.0),
    Goal("backlog, last third / first third", "backlog, last third", "backlog, first third", most=1.5),
    Goal("WAL of a task, enqueue and drain, bytes", "WAL of a task", most=1200),
    Goal("commits per task", "commits of a task", most=0.02),
)


def measure(figures: Figures, _options: argparse.Namespace) -> None:
    """One map every 50 ms, at half the rate that was measured just before."""
    from goque import Queue

    with fresh_server() as dsn, Queue(workers=0) as submitter, Queue(workers=2) as runner:
        runner.submit(square, 1).result()
        batch = submitter.map(square, range(100_000))
        began = time.perf_counter()
        drained(batch, [runner])
        rate = 100_000 / (time.perf_counter() - began)
        figures.note("drain", rate)
        share = max(1, int(rate / 2 * STEP_S))
        backlog: list[int] = []
        _backlog(runner)  # imports pandas: producers would be late by a second, and then give all of it at once
        first = last = None
        with Meter(dsn).read() as used:
            due = time.monotonic()
            for _ in range(int(SECONDS / STEP_S)):
                last = runner.map(square, range(share))
                first = first or last
                backlog.append(_backlog(runner))
                due += STEP_S
                time.sleep(max(0.0, due - time.monotonic()))
            assert last is not None
            last.wait()
        assert first is not None
        count = int(SECONDS / STEP_S) * share
        figures.note("producers", share / STEP_S)
        _note_ends(figures, dsn, first[0].id, count)
        third = len(backlog) // 3
        figures.note("backlog, first third", statistics.mean(backlog[:third]), "tasks")
        figures.note("backlog, last third", statistics.mean(backlog[-third:]), "tasks")
        figures.note("WAL of a task", used.wal_bytes / count, "B")
        figures.note("commits of a task", used.commits / count, "")


def _backlog(q: Queue) -> int:
    return int(q.queues(columns=["new", "pending", "processing"]).sum().sum())


def _note_ends(figures: Figures, dsn: str, first: int, count: int) -> None:
    """From call to outcome by the database's clock; in SQL, since a frame of a million rows takes another minute."""
    ranks = (50, 95, 99)
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            """
            select count(*), percentile_cont(%s::float8[]) within group (
                order by extract(epoch from finished_at - created_at)
            ) from goque.task where id >= %s and status = 'done'
            """,
            ([rank / 100 for rank in ranks], first),
        ).fetchone()
    assert row is not None
    assert row[0] == count, (row, count)
    for rank, seconds in zip(ranks, row[1], strict=True):
        figures.note(f"end to end, p{rank}", 1000 * seconds, "ms")


if __name__ == "__main__":
    import benchmarks.sustained

    run(benchmarks.sustained)

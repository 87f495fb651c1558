"""A transaction that somebody leaves open keeps what was drained in the index; claims do not read it again and again.

The long form measures tasks per second: ``tests/soak/test_resources.py``.
"""

from __future__ import annotations

import psycopg
import pytest

from goque.model.eligibility import EVERY_QUEUE
from goque.queries import claim
from goque.queries.claim import Listed
from goque.sql import Statement, scalar
from goque.worker.roster import Ask, Roster
from tests.rig import Rig, Worker

TASKS, WANT = 4_000, 200
FLUSHED = Statement("SELECT pg_stat_force_next_flush()", {}, scalar, "flushed")
"""Lets a session tell what it has read."""


def pages_of_claims(rig: Rig, worker: Worker, lane: int, *, marks: bool) -> list[int]:
    """How many pages of the ready index each claim has read while the lane is drained."""
    roster = Roster(4)
    roster.refresh([Listed(lane, "default", 0)])
    pages = []
    reads = "select sum(idx_blks_read + idx_blks_hit)::bigint from pg_statio_user_indexes where indexrelname = %s"
    with psycopg.connect(rig.database.dsn, autocommit=True) as connection:
        for number in range(TASKS // WANT):
            mark = roster.asks([], 4)[0].mark if marks else 0
            ask = Ask(lane, mark, WANT)
            before = connection.execute(reads, ["task_ready"]).fetchone()
            rows = worker.connection.all(claim.claim(worker.id, number, [ask], EVERY_QUEUE))
            worker.connection.all(FLUSHED)
            after = connection.execute(reads, ["task_ready"]).fetchone()
            assert before is not None
            assert after is not None
            pages.append(after[0] - before[0])
            assert len(rows) == WANT
            roster.took([ask], {lane: (len(rows), min(row.seq for row in rows))})
            worker.succeed(*rows)
    return pages


@pytest.mark.parametrize("marks", [True, False], ids=["from the mark on", "from the beginning"])
def test_a_claim_reads_no_more_the_longer_a_snapshot_is_pinned(
    rig: Rig, lane: int, worker: Worker, marks: bool
) -> None:
    with psycopg.connect(rig.database.dsn) as pinning:
        pinning.execute("set transaction isolation level repeatable read")
        pinning.execute("select count(*) from goque.task").fetchone()
        rig.tasks(lane, TASKS)
        pages = pages_of_claims(rig, worker, lane, marks=marks)
    early, late = sum(pages[1:4]), sum(pages[-3:])
    assert (late <= 1.5 * early) is marks

"""A transaction that somebody leaves open keeps what was drained in the index; claims do not read it again and again.

The long form measures tasks per second: ``tests/soak/test_resources.py``.
"""

from __future__ import annotations

from typing import TypeVar

import psycopg
import pytest

from goque.model.eligibility import EVERY_QUEUE, Eligibility
from goque.queries import claim
from goque.queries.claim import Listed
from goque.sql import Statement, scalar
from goque.worker.roster import Ask, Roster
from tests.rig import Rig, Worker

Row = TypeVar("Row")
TASKS, WANT = 4_000, 200
FLUSHED = Statement("SELECT pg_stat_force_next_flush()", {}, scalar, "flushed")
"""Lets a session tell what it has read."""


def pages_of_claims(rig: Rig, worker: Worker, lane: int, *, marks: bool) -> list[int]:
    """How many pages of the ready index each claim has read while the lane is drained."""
    roster = Roster(4)
    roster.refresh([Listed(lane, "default", 0)])
    pages = []
    for number in range(TASKS // WANT):
        mark = roster.asks([], 4)[0].mark if marks else 0
        ask = Ask(lane, mark, WANT)
        rows, read = pages_of(rig, worker, claim.claim(worker.id, number, [ask], EVERY_QUEUE))
        pages.append(read)
        assert len(rows) == WANT
        roster.took([ask], {lane: (len(rows), min(row.seq for row in rows))})
        worker.succeed(*rows)
    return pages


def pages_of(rig: Rig, worker: Worker, statement: Statement[Row]) -> tuple[list[Row], int]:
    """What a statement gives, and how many pages of the ready index it has read."""
    reads = "select sum(idx_blks_read + idx_blks_hit)::bigint from pg_statio_user_indexes where indexrelname = %s"
    with psycopg.connect(rig.database.dsn, autocommit=True) as connection:
        before = connection.execute(reads, ["task_ready"]).fetchone()
        rows = worker.connection.all(statement)
        worker.connection.all(FLUSHED)
        after = connection.execute(reads, ["task_ready"]).fetchone()
    assert before is not None
    assert after is not None
    return rows, after[0] - before[0]


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


def test_a_look_that_begins_where_a_lane_was_left_passes_nothing_that_was_drained(
    rig: Rig, lane: int, worker: Worker
) -> None:
    with psycopg.connect(rig.database.dsn) as pinning:
        pinning.execute("set transaction isolation level repeatable read")
        pinning.execute("select count(*) from goque.task").fetchone()
        rig.tasks(lane, TASKS)
        reached = 0
        for number in range(TASKS // WANT):
            rows = worker.connection.all(claim.claim(worker.id, number, [Ask(lane, reached, WANT)], EVERY_QUEUE))
            reached = min(row.seq for row in rows)
            worker.succeed(*rows)
        rig.tasks(newer := rig.lane(), 1, first=TASKS)
        who = Eligibility(python="3.11")
        assert [one.lane for one in pages_of(rig, worker, claim.live_lanes(who))[0]] == [newer]
        found, read = pages_of(rig, worker, claim.live_lanes(who, lane, reached))
        all_found, all_read = pages_of(rig, worker, claim.live_lanes(who, lane, 0))
        assert [one.lane for one in found] == [one.lane for one in all_found] == [newer]
        assert 2 * read < all_read
        assert worker.connection.all(claim.live_lanes(who, lane, reached + WANT)) == found
        assert worker.connection.all(claim.live_lanes(who, newer, 0)) == found
        assert worker.connection.all(claim.live_lanes(who, newer + 1, 0)) == []

"""The plans of the hot statements: no cost grows with what is finished, delayed or foreign, statistics or not.

Each statement is prepared as the package prepares it and explained with EXPLAIN ANALYZE in a transaction that is rolled
back: on tables that were never analysed, right after a large COPY, and on tables full of finished tasks, analysed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from goque.model.eligibility import EVERY_QUEUE, Eligibility
from goque.model.states import RunOutcome, Status
from goque.postgres.connections import Connection, Profile, connect
from goque.postgres.database import Database
from goque.queries import (
    cancel,
    claim,
    cleaning,
    deleting,
    duplicates,
    finish,
    glance,
    handback,
    outcomes,
    programs,
    retention,
    spawning,
    upkeep,
    workers,
)
from goque.queries.enqueue import Single
from goque.sql import Statement, scalar
from tests.conftest import _new_database
from tests.golden import numbered

READY, FINISHED, DELAYED, HELD = 50_000, 200_000, 20_000, 64
BATCH = 10**9
WORKER = 7
MOST_ROWS = 6_000
"""More rows than a bounded statement touches, far fewer than the tables hold."""

_FILL = f"""
    insert into goque.lane (digest, batch_id, queue, type, owner, function_id)
        select 'lane ' || n, n, 'default', 'f', 'me', 1 from generate_series(1, 8) n;
    insert into goque.worker (host, pid, python, prefix, version, owner, pool, slots)
        select 'h', n, '3.11', '/', '0', 'me', 'process', 1 from generate_series(1, 10) n;
    insert into goque.task (id, lane_id, seq, status, args, expires_at)
        select {BATCH}::bigint + n, 1 + n % 8, n, 'new', 'x', now() + (n - 25000) * interval '1 s'
        from generate_series(1, {READY}) n;
    insert into goque.task (id, lane_id, status, run_at)
        select 2 * {BATCH}::bigint + n, 1, 'pending', now() + n * interval '1 second' - interval '60 seconds'
        from generate_series(1, {DELAYED}) n;
    insert into goque.task (id, lane_id, seq, status, run, worker_id, args)
        select 3 * {BATCH}::bigint + n, 1, -n, 'new', 1, {WORKER}, 'x' from generate_series(1, {HELD}) n;
    insert into goque.claim (worker_id, number, task_ids)
        select {WORKER}, 1, array_agg(id) from goque.task where id > 3 * {BATCH}::bigint;
    insert into goque.task (id, lane_id, status, run, finished_at)
        select 4 * {BATCH}::bigint + n, 8, 'done', 1, now() from generate_series(0, 9) n;
"""
_FINISH = f"""
    insert into goque.task (id, lane_id, seq, status, run, attempts, worker_id, result, started_at, finished_at,
            expires_at)
        select 9 * {BATCH}::bigint + n, 1 + n % 8, -n, 'done', 1, 1, {WORKER}, 'x', now(), now(), now()
        from generate_series(1, {FINISHED}) n;
"""
_SPREAD = f"""
    insert into goque.lane (digest, batch_id, queue, type, owner, function_id)
        select 'spread ' || n, {BATCH} + n, 'default', 'f', 'me', 1 from generate_series(1, 2000) n;
    insert into goque.task (id, lane_id, seq, status)
        select 5 * {BATCH}::bigint + id, id, id, 'new' from goque.lane where digest like 'spread %';
    insert into goque.tally (lane_id, new) select id, 1 from goque.lane;
"""
IDS = [3 * BATCH + n for n in range(1, HELD + 1)]
RUNS = [(id, 1) for id in IDS]
WHO = Eligibility(python="3.11")

# What a worker runs on its pinned connections.
WORKERS: dict[str, Callable[[], Statement[Any]]] = {
    "live_lanes": lambda: claim.live_lanes(WHO),
    "newest_lanes": lambda: claim.live_lanes(WHO, 3, 5_000),
    "programs": lambda: programs.programs(list(range(1, 9))),
    "claim": lambda: claim.claim(WORKER, 2, [(lane, 0, 32) for lane in range(1, 9)], EVERY_QUEUE),
    "start": lambda: claim.start(WORKER, [(id, 1, 0.0) for id in IDS]),
    "watch_held": lambda: claim.watch_held([(id, 1) for id in IDS], EVERY_QUEUE),
    "succeed": lambda: finish.succeed(WORKER, [finish.Success(id, 1, b"x", 0.0, 0.1, 0.1, 1.0, None) for id in IDS]),
    "end": lambda: finish.end(
        WORKER, [finish.End(id, 1, Status.ERROR, RunOutcome.ERROR, charge=1, delay=1.0, run_s=0.1) for id in IDS]
    ),
    "spawn": lambda: spawning.spawn(WORKER, [(id, 1, Single(id % BATCH, 1, b"x", 1)) for id in IDS]),
    "hand_back": lambda: handback.hand_back(WORKER, RUNS),
    "share": lambda: duplicates.share(IDS),
    "beat": lambda: workers.beat(WORKER, running=1, buffered=1),
    "mark": lambda: workers.mark(WORKER),
    "hang_up": lambda: workers.hang_up(),
    "held_by": lambda: workers.held_by(WORKER),
    "heal": lambda: upkeep.heal(),
    "next_due": lambda: upkeep.next_due(),
    "promote": lambda: upkeep.promote(),
    "forget_claims": lambda: upkeep.forget_claims(),
    "left_behind": lambda: upkeep.left_behind(),
    "inputs": lambda: upkeep.inputs(0),
    "half_canceled": lambda: upkeep.half_canceled(60.0),
    "expire": cancel.expire,
    "cancel_lane": lambda: cancel.cancel_lane(1, BATCH, BATCH + 2_000, None),
}
# What a client runs on connections whose planner is free.
CLIENTS: dict[str, Callable[[], Statement[Any]]] = {
    "cancel_within": lambda: cancel.cancel_within([(BATCH, 2 * BATCH - 1)], None),
    "cancel_nothing": lambda: cancel.cancel_within([(BATCH, BATCH)], None),
    "glance": lambda: glance.glance(1, local=True),
    "running": lambda: glance.running(3 * BATCH, 4 * BATCH, 5),
    "ended_within": lambda: outcomes.ended_within([(9 * BATCH, 10 * BATCH - 1)], 1_000),
    "ended_within_a_small_map": lambda: outcomes.ended_within([(4 * BATCH, 4 * BATCH + 9)], 1_000),
    "outcomes_of": lambda: outcomes.outcomes_of(IDS),
}
WAITING = ("ended_within_a_small_map", "outcomes_of")
# What workers run, and q.clean() as well.
CLEANING: dict[str, Callable[[], Statement[Any]]] = {
    "shortest": retention.shortest,
    "page": lambda: cleaning.page(0),
    "lock_old_singles": lambda: cleaning.lock_old_singles(9 * BATCH, 9 * BATCH + 1_000, None),
    "count_old_singles": lambda: cleaning.count_old_singles(9 * BATCH, 9 * BATCH + 1_000, "default"),
    "delete_singles": lambda: cleaning.delete_singles([9 * BATCH + n for n in range(1, 1_001)]),
    "delete_lanes": cleaning.delete_lanes,
    "delete_functions": cleaning.delete_functions,
    "delete_stray_counts": cleaning.delete_stray_counts,
    "batches": lambda: deleting.batches(0, None),
    "needs": lambda: deleting.needs(9, 1_000_000),
    "delete_batch": lambda: deleting.delete_batch(9),
    "delete_range": lambda: deleting.delete_range(9 * BATCH, 9 * BATCH + 999),
    "forget": lambda: deleting.forget(9, 1_000_000),
}
WORKERS |= CLEANING
CLIENTS |= CLEANING


@pytest.fixture(scope="module", params=["never analysed", "full of finished tasks"])
def filled(request: pytest.FixtureRequest, server_dsn: str, template_database: str) -> Iterator[str]:
    """A database of 50,000 ready tasks, with or without 200,000 finished ones; its DSN."""
    with _new_database(server_dsn, f"goque_plans_{os.getpid()}", template=template_database) as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            # Statistics would come at a moment of their own.
            connection.execute("ALTER TABLE goque.task SET (autovacuum_enabled = false)")
            connection.execute(_FILL.encode())
            if request.param != "never analysed":
                connection.execute(_FINISH.encode())
                connection.execute("VACUUM ANALYZE")
        yield dsn


@contextmanager
def opened(dsn: str, *, pinned: bool, generic: bool) -> Iterator[Connection]:
    """A connection as the package opens it."""
    connection = connect(Profile(dsn, planner="pinned" if pinned else "free"))
    if not pinned:
        mode = "force_generic_plan" if generic else "force_custom_plan"
        connection.execute(f"SET plan_cache_mode = {mode}".encode())
    try:
        yield connection
    finally:
        connection.close()


def explained(connection: Connection, statement: Statement[Any]) -> list[dict[str, Any]]:
    """The nodes of the plan of a prepared statement, with what each did."""
    text, names = numbered(statement.text)
    with connection.transaction(force_rollback=True):
        connection.execute(f"PREPARE hot AS {text}".encode())
        call = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE hot"
        arguments = f"({', '.join(['%s'] * len(names))})" if names else ""
        with psycopg.ClientCursor(connection) as cursor:
            cursor.execute((call + arguments).encode(), [statement.values[name] for name in names])
            row = cursor.fetchone()
        connection.execute("DEALLOCATE hot")
    assert row is not None
    plans = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return list(nodes(plans[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def check(found: list[dict[str, Any]]) -> None:
    """No node reads a table of tasks from end to end, and none touches more rows than a step has."""
    for node in found:
        kind, table = node["Node Type"], node.get("Relation Name")
        assert not (table == "task" and kind in ("Seq Scan", "Bitmap Heap Scan")), node
        seen = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        assert seen <= MOST_ROWS, f"{kind} on {table or node.get('CTE Name')} saw {seen} rows"


def indexes(found: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in found if "Index Name" in node and node["Actual Loops"]}


@pytest.mark.parametrize("name", WORKERS)
def test_a_workers_statement_costs_what_it_touches(filled: str, name: str) -> None:
    with opened(filled, pinned=True, generic=True) as connection:
        check(explained(connection, WORKERS[name]()))


@pytest.fixture(scope="module")
def early(server_dsn: str, template_database: str) -> Iterator[dict[str, Connection]]:
    """Connections that have made their plans while there was nothing; then came 2,000 lanes and many tasks."""
    with (
        _new_database(server_dsn, f"goque_early_{os.getpid()}", template=template_database) as dsn,
        psycopg.connect(dsn, autocommit=True) as others,
        opened(dsn, pinned=True, generic=True) as worker,
        opened(dsn, pinned=False, generic=True) as client,
    ):
        for table in ("task", "lane", "claim", "tally"):
            others.execute(f"ALTER TABLE goque.{table} SET (autovacuum_enabled = false)".encode())
        by_name = dict.fromkeys(WORKERS, worker) | dict.fromkeys(WAITING, client)
        for name, connection in by_name.items():
            with connection.transaction(force_rollback=True):
                executed(connection, name, (WORKERS | CLIENTS)[name](), prepare=True)
        others.execute(_FILL.encode())
        others.execute(_FINISH.encode())
        others.execute(_SPREAD.encode())
        yield by_name


@pytest.mark.parametrize("name", [*WORKERS, *WAITING])
def test_a_plan_that_was_made_when_there_was_nothing_costs_no_more(early: dict[str, Connection], name: str) -> None:
    """A worker is often started first, and keeps its plans: joined in the wrong order, 5,000 lanes took a second.

    So does a notebook: beside a million tasks a wait for ten read all of them.
    """
    with early[name].transaction(force_rollback=True):
        [[plan]] = executed(early[name], name, (WORKERS | CLIENTS)[name](), explain=True)
    for node in nodes(plan[0]["Plan"]):
        filtered = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Join Filter", 0)
        assert (node["Actual Rows"] + filtered) * node["Actual Loops"] <= MOST_ROWS, node


def executed(
    connection: Connection, name: str, statement: Statement[Any], *, prepare: bool = False, explain: bool = False
) -> list[Any]:
    """What a statement gives that is prepared under this name."""
    text, names = numbered(statement.text)
    if prepare:
        connection.execute(f"PREPARE the_{name} AS {text}".encode())
    call = f"EXECUTE the_{name}" + (f"({', '.join(['%s'] * len(names))})" if names else "")
    call = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {call}" if explain else call
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(call.encode(), [statement.values[name] for name in names])
        return cursor.fetchall()


@pytest.mark.parametrize("generic", [False, True], ids=["custom plan", "generic plan"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_clients_statement_costs_what_it_touches(filled: str, name: str, generic: bool) -> None:
    with opened(filled, pinned=False, generic=generic) as connection:
        check(explained(connection, CLIENTS[name]()))


def test_a_claim_walks_the_ready_index_and_sorts_nothing(filled: str) -> None:
    with opened(filled, pinned=True, generic=True) as connection:
        found = explained(connection, WORKERS["claim"]())
    assert "task_ready" in indexes(found)
    assert not [node for node in found if "Sort" in node["Node Type"]]
    assert max(node["Actual Rows"] for node in found) <= 8 * 32


def test_listing_lanes_probes_the_ready_index_once_per_lane(filled: str) -> None:
    with opened(filled, pinned=True, generic=True) as connection:
        found = explained(connection, WORKERS["live_lanes"]())
    assert "task_ready" in indexes(found)
    assert sum(node["Actual Loops"] for node in found if node.get("Index Name") == "task_ready") <= 2 * 8 + 2


def test_sharing_costs_one_probe_where_nobody_shares(filled: str) -> None:
    with opened(filled, pinned=True, generic=True) as connection:
        found = explained(connection, WORKERS["share"]())
        assert sum(node["Actual Loops"] for node in found if "Index Name" in node) == 1
        # The plan of a worker that was started before there were any edges still walks none that it does not release.
        text, names = numbered(WORKERS["share"]().text)
        connection.execute(f"PREPARE early AS {text}".encode())
        values = duplicates.share(IDS, limit=100).values
        with connection.transaction(force_rollback=True), psycopg.ClientCursor(connection) as cursor:
            call = f"EXECUTE early ({', '.join(['%s'] * len(names))})".encode()
            cursor.execute(call, [values[name] for name in names])
            cursor.execute("insert into goque.dependency select %s, n from generate_series(1, 5000) n", [IDS[0]])
            cursor.execute("update goque.task set status = 'done' where id = %s", [IDS[0]])
            cursor.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + call, [values[name] for name in names])
            [[[plan]]] = cursor.fetchall()
    for node in nodes(plan["Plan"]):
        assert node["Actual Rows"] * node["Actual Loops"] <= 2 * 100, node


def test_promotion_walks_the_index_of_due_times(filled: str) -> None:
    with opened(filled, pinned=True, generic=True) as connection:
        found = explained(connection, WORKERS["promote"]())
        assert indexes(explained(connection, WORKERS["next_due"]())) == {"task_due"}
    assert "task_due" in indexes(found)


def test_expiry_walks_an_index_of_what_waits_and_can_expire(filled: str) -> None:
    with opened(filled, pinned=True, generic=True) as connection:
        found = explained(connection, WORKERS["expire"]())
    assert "task_expiring" in indexes(found)
    assert max(node["Actual Rows"] for node in found) == cancel.STEP
    assert not [node for node in found if "Sort" in node["Node Type"]]


def test_an_update_of_outcomes_finds_each_row_by_its_key(filled: str) -> None:
    with opened(filled, pinned=True, generic=True) as connection:
        for name in ("succeed", "end", "start", "hand_back"):
            assert indexes(explained(connection, WORKERS[name]())) & {"task_pkey"}, name


def test_writing_an_outcome_of_a_success_stays_on_its_page(database: Database) -> None:
    """No indexed column changes, so the update is HOT, and touches no index, where the page has room."""
    hot = "SELECT pg_stat_get_xact_tuples_hot_updated('goque.task'::regclass)"
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(_FILL.encode())
    with database.transaction() as transaction:
        success = [finish.Success(id, 1, b"x", 0.0, 0.1, 0.1, 1.0, None) for id in IDS]
        assert len(transaction.all(finish.succeed(WORKER, success))) == HELD
        assert transaction.one(Statement(hot, {}, scalar, "hot")) >= HELD // 2

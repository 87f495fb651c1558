"""A look at history touches the rows that it shows, not those that there are: plans on large tables.

Counted in rows that scans read, so that the speed of the machine does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from goque.history import frames
from goque.postgres.database import Database
from goque.queries import chronicle, listing, looking, running
from goque.queries.filters import filters_of
from goque.sql.statement import Statement, statement_of

TASKS_EACH = 150_000
LOAD = [
    "INSERT INTO goque.batch (id, owner, name, total, type) SELECT 1000 + n, 'ada', 'b' || n, 50000, 'f' "
    "FROM generate_series(0, 2) n",
    "INSERT INTO goque.lane (id, digest, batch_id, queue, type, owner) OVERRIDING SYSTEM VALUE "
    "SELECT 1 + n, n::text, 1000 + n, 'etl', 'f', 'ada' FROM generate_series(0, 2) n",
    "INSERT INTO goque.lane (id, digest, queue, type, owner) OVERRIDING SYSTEM VALUE "
    "VALUES (9, 'single', 'default', 'g', 'ada')",
    "INSERT INTO goque.task (id, lane_id, seq, status, run, worker_id, created_at, started_at, finished_at) "
    f"SELECT (1000 + n / 50000) * 1000000000::bigint + n %% 50000, 1 + n / 50000, -1, 'done', 1, 1, "
    f"now() - interval '1 day' + n * interval '1 ms', now(), now() FROM generate_series(0, {TASKS_EACH - 1}) n",
    "INSERT INTO goque.task "
    "(id, lane_id, seq, status, run, worker_id, created_at, started_at, finished_at, external_id) "
    f"SELECT n, 9, -1, 'done', 1, 1, now() - interval '1 day' + n * interval '1 ms', now(), now(), "
    f"CASE WHEN n %% 10 = 0 THEN 'order ' || n END FROM generate_series(1, {TASKS_EACH}) n",
    "INSERT INTO goque.run (task_id, run, attempt, status, outcome) "
    "SELECT id, 0, 1, 'error', 'error' FROM goque.task WHERE id %% 100 = 0",
    "INSERT INTO goque.worker (id, host, pid, python, prefix, version, owner, pool, slots) OVERRIDING SYSTEM VALUE "
    "VALUES (1, 'here', 1, '3.11', '/', '0', 'ada', 'process', 8)",
    "INSERT INTO goque.claim (worker_id, number, task_ids) VALUES (1, 1, array[3, 5, 1000000000009])",
]


def run(database: Database, text: str) -> None:
    database.run(Statement(text, {}, tuple, "load"))


@pytest.fixture(params=["never analysed", "analysed"])
def large(database: Database, request: pytest.FixtureRequest) -> Database:
    """A database with many finished tasks, whose statistics may be missing."""
    for table in ("task", "run", "lane", "batch"):
        run(database, f"ALTER TABLE goque.{table} SET (autovacuum_enabled = false)")
    for text in LOAD:
        run(database, text)
    if request.param == "analysed":
        run(database, "ANALYZE goque.task, goque.run, goque.lane, goque.batch")
    return database


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def rows_read(database: Database, query: Any, spans: looking.Spans | None, told: looking.Spans | None = None) -> int:
    """Rows that all scans of tasks and runs read, those that they threw away included."""
    values: dict[str, object] = {}
    if spans is not None:
        values = looking.span_values(spans) if told is None else chronicle.values(spans, told)
    statement = statement_of(query, name="explained", values=values)
    explain = Statement(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}", statement.values, lambda row: row[0], "explain"
    )
    found = database.one(explain)
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if node.get("Relation Name") in ("task", "run")
    )


BATCH: looking.Spans = [looking.span_of(1001)]


CASES: list[tuple[dict[str, Any], looking.Spans, int]] = [
    ({"limit": 1000}, looking.EVERYTHING, 15_000),
    ({"limit": 1000, "status": "done"}, looking.EVERYTHING, 15_000),
    ({"limit": 1000, "queue": "etl"}, BATCH, 10_000),
    ({"limit": 100, "status": "error"}, looking.EVERYTHING, 5_000),
    ({"limit": 1_000_000, "status": "error"}, BATCH, 10_000),
    ({"limit": 1000, "order_by": "-task_id", "after": (1_001_000_020_000, 1)}, looking.EVERYTHING, 10_000),
    ({"limit": 1000, "order_by": "task_id", "after": (100_000, 1)}, looking.EVERYTHING, 10_000),
    ({"limit": 1000, "batch": 1001, "metadata": {"a": 1}, "status": "error"}, BATCH, 5_000),
    ({"limit": 1_000_000, "task": 77}, [(77, 77)], 5_000),
]


def test_a_look_reads_about_as_many_rows_as_it_shows(large: Database) -> None:
    # One test, because the rows take longer to load than to look at.
    read = {"failures": (rows_read(large, listing.failures(), BATCH), 5_000)}
    cut = filters_of({"status": "error"}, what="history", without=(), columns=chronicle.HISTORY)
    read["failures that a limit cut"] = (
        rows_read(large, chronicle.history_size(cut, 101_000), looking.EVERYTHING, looking.EVERYTHING),
        10_000,
    )
    for given, spans, at_most in CASES:
        filters = filters_of(given, what="history", without=(), columns=chronicle.HISTORY)
        read[f"history {given}"] = rows_read(large, chronicle.history(filters), spans, spans), at_most
    run(large, "ANALYZE goque.task")  # without statistics no planner knows that an external id is rare
    filters = filters_of(
        {"external_id": ["order 70", "order 80"]}, what="history", without=(), columns=chronicle.HISTORY
    )
    read["history of external ids"] = (
        rows_read(large, chronicle.history(filters), looking.EVERYTHING, looking.EVERYTHING),
        5_000,
    )
    filters = filters_of({"limit": 1000}, what="tasks", without=(), columns=listing.TASKS)
    read["tasks"] = rows_read(large, listing.task_rows(filters), looking.EVERYTHING), 10_000
    filters = filters_of({"limit": 1000, "order_by": "id", "after": 9}, what="tasks", without=(), columns=listing.TASKS)
    read["a page of tasks"] = rows_read(large, listing.task_rows(filters), looking.EVERYTHING), 10_000
    read["running"] = rows_read(large, running.running(10), None), 1_000
    assert {name: rows for name, rows in read.items() if rows[0] > rows[1]} == {}
    assert all(rows > 0 for rows, _ in read.values())


def test_what_is_rare_is_looked_for_where_it_is(large: Database) -> None:
    for lane, done, canceled in ((1, 49_999, 1), (2, 50_000, 0), (3, 50_000, 0), (9, TASKS_EACH, 0)):
        run(large, f"INSERT INTO goque.tally (lane_id, done, canceled) VALUES ({lane}, {done}, {canceled})")
    run(large, "UPDATE goque.task SET status = 'canceled', seq = NULL, run = 0 WHERE id = 1000000000007")
    run(large, "UPDATE goque.lane SET queue = 'rare' WHERE id = 1")

    def looked(**given: Any) -> int:
        filters = filters_of(given, what="history", without=(), columns=chronicle.HISTORY)
        told = frames._narrowed(large, filters, looking.EVERYTHING)
        return rows_read(large, chronicle.history(filters), looking.EVERYTHING, told)

    one_batch, records = 55_000, 2 * TASKS_EACH // 100 * 2
    assert 50_000 <= looked(status="canceled", limit=100) <= one_batch + records
    assert looked(status="new", limit=100) <= records
    assert looked(status="done", limit=100) <= 10_000, "of what there is a lot the newest are read"
    for given in ({"status": "canceled"}, {"status": "canceled", "queue": "rare"}, {"queue": "rare", "limit": 100_000}):
        found = frames.history(large, **given)
        assert 1_000_000_000_007 in set(found["task_id"])
        assert len(found) == (1 if "status" in given else 50_000 + 500)
    assert frames.history(large, status="canceled", queue="etl").empty
    assert frames.history(large, status="error", task=1_000_000_000_100)["run"].tolist() == [0]
    assert len(frames.history(large, status="error", queue="rare")) == 500, "of tasks that are done by now"
    assert frames.tasks(large, status="canceled")["id"].tolist() == [1_000_000_000_007]
    assert frames.tasks(large, status="new").empty


def test_queues_and_batches_are_counted_from_the_tally(large: Database) -> None:
    # Nothing was told to the tally, so whoever counts rows gives another number.
    assert frames.queues(large)["done"].tolist() == [0, 0]
    assert frames.batches(large)["done"].sum() == 0
    assert frames.count(large, status="done", queue="etl") == 0


def test_a_look_of_the_dashboard_reads_few_tasks(large: Database) -> None:
    rows = {
        "queues": (listing.queue_rows, 100, listing.QUEUES),
        "batches": (lambda filters: listing.batch_rows(filters, None), 10, listing.BATCHES),
        "workers": (lambda filters: listing.worker_rows(filters, True), 50, listing.WORKERS),
    }
    read = {"running": rows_read(large, running.running(10), None)}
    for what, (query, limit, columns) in rows.items():
        filters = filters_of({"limit": limit}, what=what, without=(), columns=columns)
        read[what] = rows_read(large, query(filters), None)
    assert all(number <= 1_000 for number in read.values()), read

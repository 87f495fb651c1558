"""Tasks that other languages insert: the very SQL of the documents, and what must hold afterwards."""

from __future__ import annotations

import re
from typing import Any

import psycopg

from goque import Queue, Status
from goque.postgres import migrations
from goque.postgres.database import Database
from tests.architecture.sources import ROOT
from tests.integration import shop
from tests.rig import Rig

SHORT, LONG, LOOK = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "plain-sql.md").read_text(), re.DOTALL)


def ask(connection: psycopg.Connection[Any], query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def test_the_documented_statements_make_tasks_that_count_and_are_found(alone: Queue, rig: Rig, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        first = ask(connection, SHORT)
        second = ask(connection, LONG)
        assert ask(connection, LONG) == second
    assert rig.broken() == []
    task, later = alone.task(first), alone.task(second)
    assert (task.status, task.args, task._row().queue) == (Status.NEW, ({"to": "ann@example.org"},), "default")
    assert (later.status, later.waiting_for, later.metadata) == (Status.PENDING, "time", {"source": "shop"})
    row = later._row()
    assert (row.queue, row.max_attempts, row.external_id) == ("mail", 5, "order-123")
    with psycopg.connect(dsn) as connection:
        assert ask(connection, LOOK)[:3] == (second, "pending", 0)


def test_a_rolled_back_transaction_leaves_nothing(rig: Rig, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        ask(connection, LONG)
        connection.rollback()
        assert ask(connection, "select count(*) from goque.task") == 0
        assert ask(connection, "select count(*) from goque.external_id") == 0
    assert rig.broken() == []


def test_workers_are_notified_at_the_commit(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as listening, psycopg.connect(dsn) as connection:
        listening.execute("listen goque_goque")
        ask(connection, SHORT)
        ask(connection, LONG)
        connection.commit()
        heard = [one.payload for one in listening.notifies(timeout=10, stop_after=2)]
    assert heard == ["work:", "due:"]


def test_alike_tasks_share_a_lane_and_the_type_s_options_are_taken(alone: Queue, dsn: str) -> None:
    alone._core.declared([shop.jobs])
    with psycopg.connect(dsn) as connection:
        ids = [ask(connection, "select goque.enqueue('send_email', '{}')") for _ in range(2)]
        other = ask(connection, "select goque.enqueue('send_email', '{}', queue => 'other')")
        found = connection.execute(
            "select l.queue, l.priority, t.max_attempts, l.timeout_s, count(*), count(distinct l.id) from goque.task t"
            " join goque.lane l on l.id = t.lane_id group by 1, 2, 3, 4 order by 1"
        ).fetchall()
    assert found == [("mail", 2, 5, 30.0, 2, 1), ("other", 2, 5, 30.0, 1, 1)]
    assert len({*ids, other}) == 3


def test_a_moment_that_has_passed_is_now(rig: Rig, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        id = ask(connection, "select goque.enqueue('echo', run_at => now() - interval '1 day')")
    row = rig.row(id)
    assert row.status == "new"
    assert row.seq is not None
    assert rig.broken() == []


def test_it_works_in_a_schema_of_another_name(dsn: str) -> None:
    database = Database(dsn, schema="shop jobs")
    migrations.migrate(database)
    database.close()
    with psycopg.connect(dsn, autocommit=True) as listening, psycopg.connect(dsn) as connection:
        listening.execute('listen "goque_shop jobs"')
        ask(connection, 'select "shop jobs".enqueue(%s)', "echo")
        connection.commit()
        assert [one.payload for one in listening.notifies(timeout=10, stop_after=1)] == ["work:"]
        assert ask(connection, 'select count(*) from "shop jobs".task') == 1


def test_what_was_inserted_with_sql_runs(alone: Queue, dsn: str) -> None:
    alone.start_workers(1, app=shop.jobs)
    with psycopg.connect(dsn) as connection:
        with_payload = ask(connection, """select goque.enqueue('echo', '{"a": [1, null]}')""")
        without = ask(connection, "select goque.enqueue('tick')")
    assert alone.task(with_payload).result(timeout=30) == {"a": [1, None]}
    assert alone.task(without).result(timeout=30) == "tock"

"""The verbs behind PgBouncer in transaction mode, where a session belongs to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from goque import Queue, Status
from goque.cli import main
from goque.errors import DatabaseError, ReadOnly
from goque.postgres import connections, migrations
from goque.postgres.database import Database
from tests.integration.conftest import MakeStatement, until
from tests.servers import running_pooler, running_server


@pytest.fixture(scope="module")
def pooled_dsn() -> Iterator[str]:
    """PgBouncer in front of PostgreSQL 15, the oldest that is supported, in a time zone that is not ours."""
    with running_server(15, "timezone=Asia/Tokyo") as dsn, running_pooler(dsn, pool_size=2) as pooled:
        yield pooled


@pytest.fixture
def pooled(pooled_dsn: str, statement: MakeStatement) -> Iterator[Database]:
    database = Database(pooled_dsn, pooler=True, schema="pooled", max_connections=8)
    database.run(statement("CREATE SCHEMA pooled"))
    database.run(statement('CREATE TABLE "goque".number (n bigint primary key, note text)'))
    yield database
    database.run(statement("DROP SCHEMA pooled CASCADE"))
    database.close()


def test_a_queue_that_would_use_sessions_is_told_what_to_say(pooled_dsn: str) -> None:
    with pytest.raises(DatabaseError, match=r"listen=False.*--no-listen"):
        Queue(pooled_dsn)


def test_a_worker_works_behind_it(pooled_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOQUE_SECRET", "a secret for the tests of poolers")
    with Queue(pooled_dsn, schema="worked", migrate=True, listen=False) as queue:
        batch = queue.map(abs, range(-50, 0))
        served = [sys.executable, "-m", "goque.cli", "worker", "--no-listen", "--drain", "--schema", "worked"]
        subprocess.run(served, env={**os.environ, "GOQUE_DSN": pooled_dsn}, check=True, timeout=60)
        assert batch.results(timeout=0) == list(range(50, 0, -1))


def test_commands_work_behind_it_without_being_told(
    pooled_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOQUE_SECRET", "a secret for the tests of poolers")
    monkeypatch.setenv("GOQUE_DSN", pooled_dsn)
    monkeypatch.setenv("GOQUE_SCHEMA", "commanded")
    assert main(["migrate"]) == 0
    with Queue(listen=False) as queue:
        queue.map(abs, [1, 2], name="named")
    told = "status", "history", "tasks", "batches", "migrate --check", "clean --dry-run", "pause named", "resume named"
    for command in (*told, "cancel named --yes", "retry named --yes"):
        assert main(command.split()) == 0, command
    assert "named" in capsys.readouterr().out
    main(["doctor"])
    assert "answers in" in capsys.readouterr().out


def test_a_worker_stops_in_order_behind_it(pooled_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs past the grace goes back uncharged, with all that was claimed; nothing waits for a lease."""
    monkeypatch.setenv("GOQUE_SECRET", "a secret for the tests of poolers")

    def wait_for_ever(place: int, folder: str) -> None:
        import time
        from pathlib import Path

        (Path(folder) / f"began-{place}").touch()
        while True:
            time.sleep(0.01)

    with Queue(pooled_dsn, schema="stopped", migrate=True, listen=False) as queue:
        batch = queue.map(wait_for_ever, range(20), kwargs={"folder": str(tmp_path)})
        served = ["worker", "--no-listen", "--concurrency", "2", "--grace", "3.5s", "--schema", "stopped"]
        command = [sys.executable, "-m", "goque.cli", *served]
        with subprocess.Popen(command, env={**os.environ, "GOQUE_DSN": pooled_dsn}) as worker:
            until(lambda: len(list(tmp_path.glob("began-*"))) == 2, "two of them run", patience=60)
            worker.terminate()
            assert worker.wait(60) == 0
        assert batch.counts()[Status.NEW] == 20
        assert [task.attempts for task in batch.tasks()] == [0] * 20
        assert queue.workers(alive=True).empty


def test_sessions_are_really_shared(pooled: Database, statement: MakeStatement) -> None:
    pids: set[object] = set()
    threads = [
        threading.Thread(target=lambda: pids.add(pooled.one(statement("SELECT pg_backend_pid() FROM pg_sleep(0.02)"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(pids) <= 2


def test_all_verbs_work(pooled: Database, statement: MakeStatement) -> None:
    insert = 'INSERT INTO "goque".number VALUES (%(n)s, %(note)s) RETURNING n'
    assert pooled.run(statement(insert, n=1, note="a")) == 1
    assert pooled.pipeline([statement(insert, n=2, note="b"), statement(insert, n=3, note=None)]) == [[2], [3]]
    with pooled.transaction() as transaction:
        transaction.copy_in("number", ["n", "note"], ["int8", "text"], [(n, "c") for n in range(4, 100)])
        transaction.notify("goque", "x")
    count = statement('SELECT count(*) FROM "goque".number')
    assert pooled.one(count) == 99
    assert pooled.first(count) == 99
    assert len(list(pooled.stream(statement('SELECT n FROM "goque".number'), chunk=10))) == 99
    moment = statement("SELECT timestamptz '2026-01-01 00:00+00' AS t, %(n)s::bigint", n=5)
    assert b"".join(pooled.copy_out_csv(moment)) == b"2026-01-01 00:00:00+00,5\n"
    assert pooled.one(moment).isoformat() == "2026-01-01T00:00:00+00:00"


def test_limits_hold_inside_the_transaction_and_end_with_it(pooled: Database, statement: MakeStatement) -> None:
    limit = statement("SELECT current_setting('statement_timeout')")
    assert pooled.one(limit) == "1min"
    assert pooled.pipeline([limit, limit]) == [["1min"], ["1min"]]
    with pooled.transaction() as transaction:
        assert transaction.one(limit) == "1min"
    with psycopg.connect(pooled.dsn, autocommit=True, prepare_threshold=None) as connection:
        assert connection.execute("SELECT current_setting('statement_timeout')").fetchone() == ("0",)


def test_a_dedicated_connection_pins_each_transaction_and_prepares_nothing(
    pooled: Database, statement: MakeStatement
) -> None:
    dedicated = pooled.dedicated()
    for name, value in connections.PINNED.items():
        setting = statement("SELECT current_setting(%(name)s::text)", name=name)
        assert dedicated.one(setting) == value
        with dedicated.transaction() as transaction:
            assert transaction.one(setting) == value
    for _ in range(10):
        assert dedicated.one(statement("SELECT %(n)s::bigint", n=1)) == 1
        assert dedicated.all(statement("SELECT name FROM pg_prepared_statements")) == []
    dedicated.close()


def test_errors_end_their_transaction_only(pooled: Database, statement: MakeStatement) -> None:
    insert = statement('INSERT INTO "goque".number VALUES (1)')
    pooled.run(insert)
    with pytest.raises(DatabaseError) as caught:
        pooled.pipeline([statement("SELECT 1"), insert])
    assert caught.value.sqlstate == "23505"
    assert pooled.one(statement('SELECT n FROM "goque".number')) == 1


def test_read_only_holds(pooled: Database, statement: MakeStatement) -> None:
    reader = Database(pooled.dsn, pooler=True, schema="pooled", read_only=True)
    assert reader.all(statement('SELECT n FROM "goque".number')) == []
    with pytest.raises(ReadOnly):
        reader.run(statement('INSERT INTO "goque".number VALUES (1)'))
    reader.close()


def test_migrations_apply_through_it(pooled: Database, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE {schema}.thing (n bigint); INSERT INTO {schema}.thing VALUES (1)"
    )
    assert len(migrations.migrate(pooled, folder=tmp_path)) == 1
    migrations.check(pooled, folder=tmp_path)

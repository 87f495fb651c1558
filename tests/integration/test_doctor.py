"""Each finding of a diagnosis, on a server that has what is to be found."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from goque import Queue
from goque.app.doctor import diagnose
from goque.cli.commands import run
from goque.observe.findings import Finding, Limits, Severity
from goque.payload.keys import KeyRing
from goque.postgres import migrations
from goque.postgres.database import Database
from goque.queries import workers
from goque.sql import Statement
from goque.version import VERSION
from tests.integration.conftest import SECRET
from tests.servers import running_server

STRICT = Limits(pinned_s=0, dead_rows=100, index_bytes=8192, bytes_per_entry=20, sessions=0.0)


@pytest.fixture(scope="module")
def ill() -> Iterator[str]:
    """The DSN of a server with settings that nobody should have."""
    with running_server(18, "max_prepared_transactions=2", "autovacuum=off", "idle_session_timeout=1h") as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("ALTER DATABASE postgres SET transaction_timeout = '5min'")
            connection.execute("ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'")
        database = Database(dsn)
        migrations.migrate(database)
        database.close()
        yield dsn


def found(dsn: str, secret: str = SECRET, **more: Any) -> list[Finding]:
    database = Database(dsn, pooler=True)  # as the command does, so that sessions have the settings of the server
    try:
        return diagnose(database, KeyRing.from_text(secret) if secret else KeyRing.empty(), **more)
    finally:
        database.close()


def told(findings: list[Finding], about: str) -> str:
    """What is said about something, with the remedies."""
    return "\n".join(f"{one}" for one in findings if one.about == about)


def registration(host: str, version: str) -> Statement[int]:
    """A worker for the queue web only, with a key of its own."""
    return workers.register(
        host=host,
        pid=7,
        python="3.11.2",
        prefix="/usr",
        version=version,
        owner="o",
        pool="process",
        slots=1,
        queues=["web"],
        tags=[],
        key_ids=["abcd"],
        local=False,
    )


def test_a_queue_that_is_well_has_nothing_to_mend(alone: Queue) -> None:
    findings = [one for one in alone.doctor() if one.about != "settings"]
    assert {one.severity for one in findings} == {Severity.NOTE}
    assert {one.about for one in findings} == {"connection", "size"}
    assert all(one.data["round_trip_s"] < 1 for one in findings if one.about == "connection")


def test_what_is_wrong_with_a_server_is_found(ill: str) -> None:
    with psycopg.connect(ill, autocommit=True) as other, psycopg.connect(ill, application_name="forgotten") as idle:
        other.execute("ALTER TABLE goque.run SET (autovacuum_enabled = false)")
        other.execute("INSERT INTO goque.external_id SELECT 'a type', n::text, n FROM generate_series(1, 500) n")
        other.execute("SELECT pg_stat_force_next_flush()")
        other.execute("VACUUM goque.external_id")
        other.execute("DELETE FROM goque.external_id")
        other.execute("SELECT pg_stat_force_next_flush()")
        idle.execute("SELECT 1")
        with psycopg.connect(ill) as half:
            half.execute("CREATE TABLE IF NOT EXISTS half ()")
            half.execute("PREPARE TRANSACTION 'left behind'")
        try:
            findings = found(ill, limits=STRICT, clock=lambda: time.time() + 3600)
            pid = idle.info.backend_pid
        finally:
            other.execute("ROLLBACK PREPARED 'left behind'")
    settings = {one.data["name"]: one for one in findings if one.about == "settings"}
    errors = {name for name, one in settings.items() if one.severity is Severity.ERROR}
    assert errors == {"fsync", "full_page_writes", "autovacuum"}
    assert set(settings) - errors == {
        "synchronous_commit",
        "idle_session_timeout",
        "transaction_timeout",
        "default_transaction_isolation",
    }
    assert settings["fsync"].remedy == "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();"
    assert "1 h ahead of the database's" in told(findings, "clock")
    [snapshot] = [one for one in findings if one.about == "snapshot"]
    assert snapshot.data["pid"] == pid
    assert "(forgotten)" in snapshot.what
    assert "idle in transaction" in snapshot.what
    assert "1 other as well" in snapshot.what
    assert f"pg_terminate_backend({pid})" in snapshot.remedy
    assert "external_id has 500 dead rows beside 0 others" in told(findings, "dead rows")
    assert "VACUUM goque.external_id" in told(findings, "dead rows")
    assert "ALTER TABLE goque.run RESET (autovacuum_enabled)" in told(findings, "autovacuum")
    assert "REINDEX INDEX CONCURRENTLY goque.external_id_pkey" in told(findings, "index")
    assert "connections are in use" in told(findings, "connections")
    assert [one.severity for one in findings] == sorted((one.severity for one in findings), key=list(Severity).index)

    with psycopg.connect(ill) as half:
        half.execute("CREATE TABLE IF NOT EXISTS half ()")
        half.execute("PREPARE TRANSACTION 'left behind'")
    alone_now = told(found(ill, limits=STRICT), "snapshot")
    half.close()
    with psycopg.connect(ill, autocommit=True) as other:
        other.execute("ROLLBACK PREPARED 'left behind'")
    assert "COMMIT PREPARED 'left behind'" in alone_now


def test_workers_that_are_lost_silent_old_or_without_the_key_are_found(alone: Queue) -> None:
    database = alone._core.database
    alone.submit(len, "x")
    assert "no worker is alive" in told(alone.doctor(), "work")

    ids = {
        host: database.one(registration(host, version))
        for host, version in {"lost": VERSION, "silent": VERSION, "old": "0.0.1"}.items()
    }
    with psycopg.connect(alone.dsn) as connection:
        connection.execute("UPDATE goque.worker SET lost_at = now() WHERE host = 'lost'")
        connection.execute("UPDATE goque.worker SET missed = 3 WHERE host = 'silent'")
    findings = alone.doctor()
    text = told(findings, "workers")
    assert f"1 worker lost lately: {ids['lost']} (lost, pid 7)" in text
    assert f"1 worker not heard of for up to 0 s: {ids['silent']} (silent, pid 7)" in text or "ms: " in text
    assert f"1 worker of goque 0.0.1, while this is {VERSION}: {ids['old']} (old, pid 7)" in text
    assert "which no living worker holds (they hold abcd)" in told(findings, "keys")
    [work] = [one for one in findings if one.about == "work"]
    assert "tasks of len in queue default wait" in work.what
    assert work.remedy

    [without] = [one for one in found(alone.dsn, secret="") if one.about == "keys"]
    assert without.severity is Severity.ERROR
    with psycopg.connect(alone.dsn) as connection:
        connection.execute("DELETE FROM goque.setting")
    [unsigned] = [one for one in found(alone.dsn, secret="") if one.about == "keys"]
    assert (unsigned.severity, "goque key new" in unsigned.remedy) == (Severity.WARNING, True)


def test_rights_that_a_role_lacks_are_found(ill: str) -> None:
    target = {key: value for key, value in conninfo_to_dict(ill).items() if key != "user"}
    dsn = make_conninfo(user="stranger", **target)
    with psycopg.connect(ill, autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
        nothing = found(dsn)
        connection.execute("GRANT USAGE ON SCHEMA goque TO stranger")
        connection.execute("GRANT SELECT ON goque.task TO stranger")
        little = found(dsn)
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA goque TO stranger")
        enough = found(dsn)
        connection.execute("GRANT INSERT ON ALL TABLES IN SCHEMA goque TO stranger")
        more = found(dsn)
        connection.execute("REVOKE SELECT ON goque.lane FROM stranger")
        connection.execute("GRANT SELECT (id) ON goque.lane TO stranger")
        part = found(dsn)
    assert "GRANT goque_read TO stranger;" in told(nothing, "rights")
    assert "may not read batch, " in told(little, "rights")
    assert "task" not in [one for one in little if one.severity is Severity.ERROR][-1].data["tables"]
    assert "the role stranger may only look, and run no worker" in told(enough, "rights")
    assert "GRANT pg_read_all_stats TO stranger;" in told(enough, "rights")
    assert "may look and submit, and run no worker" in told(more, "rights")
    assert "size" in {one.about for one in enough}
    assert (Severity.ERROR, "rights") in {(one.severity, one.about) for one in part}
    assert "size" in {one.about for one in part}


def test_the_command_tells_of_a_schema_or_a_server_that_is_not_there(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    monkeypatch.setenv("GOQUE_DSN", make_conninfo(dsn, password="very secret"))
    assert run(["doctor", "--schema", "elsewhere", "--json"]) == 1
    listed = json.loads(capsys.readouterr().out)
    assert [(one["severity"], one["remedy"]) for one in listed if one["about"] == "schema"] == [
        ("error", "goque migrate --schema elsewhere (or Queue(dsn, migrate=True))")
    ]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO goque.migration (number, name, checksum) VALUES (99, 'later', '')")
    assert run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "newer than this version of goque" in out
    assert "very secret" not in out

    monkeypatch.setenv("GOQUE_DSN", make_conninfo(dsn, dbname="no_such_database"))
    assert run(["doctor"]) == 1
    assert "createdb no_such_database" in capsys.readouterr().out

    monkeypatch.setenv("GOQUE_DSN", "postgresql://nobody:very%20secret@/x?host=/nonexistent")
    assert run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "error" in out
    assert "very secret" not in out


def test_the_command_is_content_where_nothing_is_lost(
    alone: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOQUE_DSN", alone.dsn)
    errors = [one for one in alone.doctor() if one.severity is Severity.ERROR]
    assert run(["doctor"]) == (1 if errors else 0)
    assert "answers in" in capsys.readouterr().out

"""Connecting: addresses that are wrong, schemas that do not fit, and processes and threads that share a queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import goque
from goque import DatabaseUnavailable, InvalidInput, MigrationNeeded, Queue, ReadOnly, Status
from tests.integration.conftest import SECRET, until

RunScript = Callable[..., Any]


def test_a_server_that_is_not_there_is_said_to_be_unreachable() -> None:
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        Queue("postgresql://user:hidden@/db?host=/nowhere&connect_timeout=2")
    with pytest.raises(DatabaseUnavailable) as caught:
        Queue("postgresql://user:hidden@127.0.0.1:1/db?connect_timeout=2")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("address", ["nonsense", "postgresql://[", "host='", "mysql://x/y"])
def test_an_address_that_cannot_be_read_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput):
        Queue(address)


def test_a_database_that_is_not_there_is_named(dsn: str) -> None:
    with pytest.raises(goque.DatabaseError, match="no_such_database"):
        Queue(make_conninfo(dsn, dbname="no_such_database"))


def test_a_missing_schema_names_the_command_and_migrate_makes_it(dsn: str) -> None:
    with pytest.raises(MigrationNeeded, match="goque migrate") as caught:
        Queue(dsn, schema="elsewhere")
    assert caught.value.found is None
    with Queue(dsn, schema="elsewhere", migrate=True, workers=1) as queue:
        assert queue.submit(pow, 2, 2).result(timeout=20) == 4
    with Queue(dsn, schema="elsewhere") as again:
        assert len(again._core.database.schema) == 9


def test_a_newer_schema_is_refused_with_what_to_do(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO goque.migration (number, name, checksum) VALUES (99, 'later', 'x')")
    for migrate in (False, True):
        with pytest.raises(MigrationNeeded, match="(?i)upgrade|newer") as caught:
            Queue(dsn, migrate=migrate)
        assert (caught.value.found or 0) > caught.value.wanted


def test_a_queue_that_only_looks_changes_nothing(alone: Queue) -> None:
    batch = alone.map(abs, [1], name="n")
    with Queue(alone.dsn, owner="tester", read_only=True) as looking:
        found = looking.batch("n")
        assert (found.counts()[Status.NEW], found.inputs()) == (1, [1])
        for change in (
            lambda: looking.map(abs, [1]),
            lambda: looking.submit(abs, 1),
            lambda: found.cancel(),
            lambda: found.retry(),
            lambda: found.pause(),
            lambda: looking.cancel(batch[0].id),
            lambda: looking.pause(),
            lambda: looking.start_workers(1),
            lambda: looking.task(batch[0].id).retry(),
        ):
            with pytest.raises(ReadOnly, match="read_only"):
                change()
    assert batch.counts()[Status.NEW] == 1


def test_the_address_comes_from_the_environment(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOQUE_DSN", dsn)
    with Queue() as queue:
        assert queue.dsn == dsn


@pytest.mark.parametrize("workers", [-1, 1.5, "two", True])
def test_a_number_of_workers_that_is_none_is_refused(dsn: str, workers: Any) -> None:
    with pytest.raises(InvalidInput, match="workers"):
        Queue(dsn, workers=workers)


def test_several_threads_share_one_queue(q: Queue) -> None:
    failures: list[BaseException] = []

    def use(number: int) -> None:
        try:
            batch = q.map(lambda x, y: (x, y), range(50), [number] * 50)
            tasks = [q.submit(pow, number, 2) for _ in range(10)]
            assert batch.results(timeout=30) == [(x, number) for x in range(50)]
            assert [task.result(timeout=30) for task in tasks] == [number**2] * 10
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_forked_process_opens_its_own_connections(dsn: str, run_script: RunScript) -> None:
    found = run_script(
        """
        import json, os, time, warnings
        warnings.simplefilter("ignore")
        from goque import Queue
        with Queue(workers=2) as q:
            assert q.submit(pow, 2, 2).result(timeout=20) == 4
            reader, writer = os.pipe()
            children = []
            for number in range(3):
                pid = os.fork()
                if pid == 0:
                    if number:
                        said = q.map(lambda x: x + number, range(20)).results(timeout=20)
                    else:
                        said = q.submit(pow, 3, 2).result(timeout=20)
                    os.write(writer, (json.dumps(said) + "\\n").encode())
                    os._exit(0)
                children.append(pid)
            mine = q.map(lambda x: -x, range(20)).results(timeout=20)
            codes = [os.waitpid(pid, 0)[1] for pid in children]
            os.close(writer)
            said = sorted(os.read(reader, 100_000).decode().split("\\n")[:-1])
            assert q.submit(pow, 5, 2).result(timeout=20) == 25
        print(json.dumps([mine == [-x for x in range(20)], codes, said]))
        """,
        dsn,
        timeout=60,
    )
    expected = sorted(json.dumps(one) for one in (9, [x + 1 for x in range(20)], [x + 2 for x in range(20)]))
    assert found == [True, [0, 0, 0], expected]


@pytest.mark.direct
def test_interrupting_the_wait_says_that_the_work_goes_on(alone: Queue) -> None:
    script = """
        import sys
        from goque import Queue
        with Queue() as q:
            batch = q.map(abs, [1, 2, 3], name="left")
            print("waiting", flush=True)
            try:
                batch.results()
            except KeyboardInterrupt as stop:
                print(stop, flush=True)
        """
    environment = {**os.environ, "GOQUE_DSN": alone.dsn, "GOQUE_SECRET": SECRET, "GOQUE_OWNER": "tester"}
    process = subprocess.Popen(
        [sys.executable, "-c", "\n".join(line[8:] for line in script.splitlines())],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    with psycopg.connect(alone.dsn, autocommit=True) as connection:
        watched = "SELECT 1 FROM goque.lane WHERE watched_until > now()"
        until(lambda: connection.execute(watched).fetchone(), "it waits")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert "stopped waiting; 0 of 3 tasks have ended and the rest go on" in said
    assert alone.batch("left").counts()[Status.NEW] == 3


def test_nobody_who_can_run_it_is_said_with_the_command(
    alone: Queue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goque.app.batch.patient", lambda tick: tick)
    with pytest.raises(TimeoutError):
        alone.options(tags=["gpu"]).map(abs, [1]).wait(timeout=0.2)
    assert "no worker is alive" in caplog.text
    assert "goque worker --tags gpu" in caplog.text


def test_behind_a_pooler_nothing_listens_and_everything_works(dsn: str) -> None:
    with Queue(dsn, listen=False, workers=1) as queue:
        assert queue.map(lambda x: x + 1, range(5)).results(timeout=20) == [1, 2, 3, 4, 5]
        with psycopg.connect(dsn) as connection:
            listening = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            ).fetchone()
    assert listening == (0,)


def test_a_million_items_from_a_generator_are_stored_in_bounded_memory(dsn: str, run_script: RunScript) -> None:
    peak_mb, grown_mb, total, seconds = run_script(
        """
        import json, resource, time
        from goque import Queue

        def work(x): return x

        with Queue() as q:
            q.map(work, iter(range(1000)))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.monotonic()
            batch = q.map(work, (x for x in range(1_000_000)))
            took = time.monotonic() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(json.dumps([peak / 1024, (peak - before) / 1024, len(batch), took]))
        """,
        dsn,
        timeout=90,
    )
    assert total == 1_000_000
    assert grown_mb < 64, (peak_mb, grown_mb)
    assert seconds < 45


@pytest.mark.parametrize("made", ["(os.urandom(SIZE) for _ in range(4))", "Given()"])
def test_of_large_items_a_map_holds_one_and_its_pickle(dsn: str, run_script: RunScript, made: str) -> None:
    items = run_script(
        f"""
        import json, os, resource
        from goque import Queue

        SIZE = 40_000_000

        class Given(list):
            def __len__(self): return 4
            def __iter__(self): return (os.urandom(SIZE) for _ in range(4))

        with Queue() as q:
            q.map(len, [b"", b""])
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            q.map(len, {made})
            print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / SIZE))
        """,
        dsn,
        timeout=90,
    )
    assert items < 2.5


@pytest.mark.direct
def test_the_end_of_a_queue_ends_its_workers_and_leaves_the_work(dsn: str) -> None:
    with Queue(dsn, workers=2) as queue:
        assert queue.submit(pow, 2, 2).result(timeout=20) == 4
        [pid] = queue._core.local.pids()
        worker = psutil.Process(pid)
        family = [worker, *worker.children(recursive=True)]
        later = queue.options(delay="1h").submit(pow, 1, 1)
    assert len(family) >= 3
    assert not psutil.wait_procs(family, timeout=5.0)[1]
    sessions = "select application_name from pg_stat_activity where datname = current_database() and pid <> %s"
    with psycopg.connect(dsn, autocommit=True) as connection:
        until(
            lambda: connection.execute(sessions, [connection.info.backend_pid]).fetchall() == [],
            "its sessions and those of its workers are closed",
        )
    with Queue(dsn) as again:
        assert again.task(later.id).status is Status.PENDING

"""The commands from start to end, as processes on an embedded server of their own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goque import Queue
from goque.postgres import embedded
from tests.servers import temporary_directory

Run = Callable[..., subprocess.CompletedProcess[str]]

WORK = """
from goque import Queue
def check(x):
    if x % 5 == 0:
        raise KeyError(f"no {x}")
    return x
with Queue(workers=0) as q:
    q.map(check, range(50), name="nightly", max_attempts=1)
    task = q.options(queue="etl", delay="1h", external_id="order-1").submit(check, 1)
print(task.id)
"""


def runner(home: Path) -> Run:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
    environment |= {"GOQUE_HOME": str(home), "GOQUE_OWNER": "ann"}

    def run(*argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "goque.cli", *argv]
        return subprocess.run(command, env=environment | more, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def fresh(server_home: Path) -> Run:
    """On a home where nothing has happened yet."""
    return runner(server_home)


@pytest.fixture(scope="module")
def worked() -> Iterator[Run]:
    """On a home with a batch whose tasks have ended, every fifth in failure, and a task that waits for an hour."""
    with temporary_directory() as home:
        run = runner(home)
        environment = {**os.environ, "GOQUE_HOME": str(home), "GOQUE_OWNER": "ann"}
        subprocess.run([sys.executable, "-c", WORK], env=environment, check=True, timeout=60)
        assert run("worker", "--drain").returncode == 0
        yield run
        embedded.stop(home)


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def remedy(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """What a command says that failed: one line, no traceback."""
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_status_of_a_home_where_nothing_happened_starts_nothing_and_says_what_would(fresh: Run) -> None:
    assert "not running" in good(fresh("status"))
    assert "goque worker" in good(fresh("status"))
    assert fresh("server", "status").returncode == 3
    assert "no server runs" in good(fresh("server", "stop"))
    assert "no key yet" in remedy(fresh("key", "show"))


def test_migrate_says_what_is_missing_applies_it_once_and_writes_it_as_sql(fresh: Run) -> None:
    missing = fresh("migrate", "--check")
    assert missing.returncode == 1
    assert "missing: 0001_queue" in missing.stdout
    assert "applied: 0001_queue" in good(fresh("migrate"))
    assert "applied" not in good(fresh("migrate"))
    assert "up to date" in good(fresh("migrate", "--check"))
    assert 'CREATE SCHEMA IF NOT EXISTS "elsewhere"' in good(fresh("migrate", "--sql", "--schema", "elsewhere"))


def test_the_server_is_shown_and_stopped(fresh: Run) -> None:
    good(fresh("migrate"))
    assert "running (pid" in good(fresh("server", "status"))
    found = json.loads(good(fresh("server", "status", "--json")))
    assert found["running"] is True
    assert "stopped" in good(fresh("server", "stop"))
    assert fresh("server", "status").returncode == 3


def test_a_shared_database_without_the_schema_names_the_command(worked: Run) -> None:
    dsn = json.loads(good(worked("server", "status", "--json")))["dsn"]
    for command in ("worker", "history", "retry nightly"):
        said = remedy(worked(*command.split(), "--dsn", dsn, "--schema", "nowhere"))
        assert "goque migrate --schema nowhere" in said
    assert "goque migrate --schema nowhere" in good(worked("status", "--dsn", dsn, "--schema", "nowhere"))


def test_status_shows_queues_with_counts_and_what_to_do(worked: Run) -> None:
    shown = good(worked("status"))
    assert all(len(line) <= 80 or line.startswith(("server", "!")) for line in shown.splitlines())
    assert "default" in shown
    assert "no worker is alive; start one with: goque worker" in shown
    assert "ATTEMPTS_LEFT" in shown
    assert "CANCELED" not in shown
    found = json.loads(good(worked("status", "--json")))
    counts = {row["name"]: (row["done"], row["attempts_left"], row["pending"]) for row in found["queues"]}
    assert counts == {"default": (40, 10, 0), "etl": (0, 0, 1)}


def test_history_is_a_table_for_people_and_json_and_csv_for_machines(worked: Run) -> None:
    shown = good(worked("history", "--status", "error"))
    assert "nightly[45]" in shown
    assert "KeyError: 'no 45'" in shown
    rows = json.loads(good(worked("history", "--batch", "nightly", "--json")))
    assert len(rows) == 50
    assert {row["error_type"] for row in rows} == {None, "KeyError"}
    table = list(csv.DictReader(io.StringIO(good(worked("history", "--csv", "--since", "1h")))))
    assert len(table) == 51
    assert table[0]["started_at"] == ""


def test_filters_and_order_are_those_of_the_library(worked: Run) -> None:
    longest = json.loads(
        good(worked("history", "--order-by", "-run_s", "--limit", "2", "--columns", "run_s", "--json"))
    )
    assert len(longest) == 2
    assert longest[0]["run_s"] >= longest[1]["run_s"]
    waiting = json.loads(good(worked("tasks", "--queue", "etl", "--json")))
    assert [row["external_id"] for row in waiting] == ["order-1"]
    assert json.loads(good(worked("batches", "--batch", "ann/nightly", "--json")))[0]["done"] == 40
    assert good(worked("history", "--batch", "nosuch")) == "nothing matches\n"
    assert "error" in remedy(worked("history", "--status", "erro"))


def test_what_a_table_leaves_out_is_said(worked: Run) -> None:
    shown = good(worked("history", "--status", "done,error"))
    assert len(shown.splitlines()) == 23
    assert "the first 20; --limit N shows more, --since or --batch less" in shown
    assert len(good(worked("history", "--limit", "5")).splitlines()) == 6


def test_what_is_asked_for_is_shown_whole_and_also_where_it_is_empty(worked: Run) -> None:
    shown = good(
        worked("history", "--status", "error", "--columns", "error_type,external_id,traceback", "--limit", "2")
    )
    title, first, _ = shown.splitlines()
    assert title.split() == ["error_type", "external_id", "traceback"]
    assert first.endswith("KeyError: 'no 45'")
    assert "…" not in shown
    assert "waiting" not in good(worked("batches"))


def test_a_reader_that_has_seen_enough_causes_no_noise(worked: Run) -> None:
    dsn = json.loads(good(worked("server", "status", "--json")))["dsn"]
    environment = {**os.environ, "GOQUE_DSN": dsn}
    command = f"{sys.executable} -m goque.cli history --json | head -c 10"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ('[{"task_id', "")


def test_the_secret_is_shown_and_what_readers_of_results_need(worked: Run) -> None:
    secret = worked("key", "show")
    assert "run code" in secret.stderr
    assert len(good(worked("key", "new", GOQUE_DSN="postgresql://nowhere/x")).strip()) >= 32
    assert "goque key new" in remedy(worked("history", GOQUE_SECRET=""))
    assert len(good(secret).strip()) >= 32
    results = worked("key", "show", "--results")
    assert good(results).startswith("goque-results-")
    assert "read results" in results.stderr
    assert good(worked("key", "show", GOQUE_SECRET="a secret of sixteen")) == "a secret of sixteen\n"
    assert "GOQUE_SECRET" in remedy(worked("key", "show", GOQUE_DSN="postgresql://nowhere/x"))


def test_a_batch_is_retried_canceled_paused_and_resumed_by_its_name(worked: Run) -> None:
    assert "10 of 50 tasks to retry" in (said := good(worked("retry", "nightly", "--yes")))
    assert "10 changed" in said
    assert "paused" in good(worked("pause", "nightly"))
    assert "paused" in good(worked("batches"))
    assert "resumed" in good(worked("resume", "ann/nightly"))
    assert "10 changed" in good(worked("cancel", "nightly", "--yes", "--reason", "enough"))
    rows = json.loads(good(worked("batches", "--json")))
    assert (rows[0]["canceled"], rows[0]["cancel_reason"]) == (10, "enough")
    identity = str(rows[0]["id"])
    assert "10 changed" in good(worked("retry", identity, "--yes"))
    assert good(worked("worker", "--drain")) == ""
    assert "10 of 10 tasks to retry" in good(worked("retry", "nightly", "--yes", "--error-type", "KeyError"))
    assert good(worked("worker", "--drain")) == ""
    assert "no batch 'nosuch'; goque batches lists them" in remedy(worked("cancel", "nosuch", "--yes"))


def test_tasks_are_canceled_and_retried_by_id(worked: Run) -> None:
    (waiting,) = json.loads(good(worked("tasks", "--queue", "etl", "--json")))
    identity = str(waiting["id"])
    assert "1 changed" in good(worked("cancel", "--task", identity))
    assert "0 changed; 1 skipped: already final" in good(worked("cancel", "--task", identity))
    assert "1 changed" in good(worked("retry", "--task", identity))


def test_what_filters_let_pass_is_counted_asked_for_and_changed(worked: Run) -> None:
    etl = ("--queue", "etl", "--status", "new,pending")
    refused = worked("cancel", *etl)
    assert (refused.returncode, refused.stdout) == (2, "1 tasks to cancel\n")
    assert "no terminal to ask on, and nothing was changed; goque cancel --yes" in refused.stderr
    assert "1 changed" in good(worked("cancel", *etl, "--yes"))
    assert "0 changed" in good(worked("cancel", "nightly", *etl, "--yes"))
    assert good(worked("retry", "--queue", "etl", "--since", "1h", "--yes")).splitlines() == [
        "1 tasks to retry",
        "1 changed",
    ]
    assert "do not go together" in remedy(worked("retry", "--task", "1", "--queue", "etl"), 2)


def test_a_dry_run_counts_what_would_change_and_changes_nothing(worked: Run) -> None:
    before = json.loads(good(worked("tasks", "--json")))
    failed = [row["id"] for row in before if row["failed"]]
    chosen = map(str, [*failed[:3], next(row["id"] for row in before if row["status"] == "done")])
    assert "10 of 50 tasks to retry\n" in good(worked("retry", "nightly", "--dry-run"))
    assert "50 of 50 tasks to retry\n" in good(worked("retry", "nightly", "--force", "--dry-run"))
    assert good(worked("retry", "--task", *chosen, "--dry-run")) == "3 tasks to retry, named by their ids\n"
    assert good(worked("retry", "--queue", "default", "--dry-run")) == f"{len(failed)} tasks to retry\n"
    assert good(worked("cancel", "--queue", "default", "--dry-run")) == "0 tasks to cancel\n"
    assert json.loads(good(worked("tasks", "--json"))) == before


def test_what_is_past_its_retention_is_counted_and_removed(worked: Run) -> None:
    dsn = json.loads(good(worked("server", "status", "--json")))["dsn"]
    with Queue(dsn, owner="ann", workers=0) as queue:
        queue.retention("etl", done="36h", batches=None)
    assert "done 1 d 12 h, batches for ever" in good(worked("status"))
    [etl] = [row for row in json.loads(good(worked("status", "--json")))["queues"] if row["name"] == "etl"]
    assert [etl[f"keep_{what}_s"] for what in ("done", "failed", "batches")] == [129_600, None, "for ever"]
    assert good(worked("clean", "--dry-run")) == "past its retention: nothing\n"
    assert json.loads(good(worked("clean", "--queue", "etl", "--json"))) == {}


def test_queues_are_paused_and_resumed(worked: Run) -> None:
    assert "paused" in good(worked("pause", "--queue", "etl", "later"))
    assert "goque resume --queue etl" in good(worked("status"))
    assert "resumed" in good(worked("resume", "--all"))
    assert "goque resume" not in good(worked("status"))


def test_a_bulk_change_asks_on_a_terminal_and_takes_no_for_an_answer(worked: Run) -> None:
    import pty

    before = json.loads(good(worked("batches", "--json")))
    dsn = json.loads(good(worked("server", "status", "--json")))["dsn"]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "goque.cli", "retry", "nightly", "--force"]
    environment = {**os.environ, "GOQUE_DSN": dsn, "GOQUE_OWNER": "ann", "GOQUE_SECRET": "irrelevant to retry"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(ours, 1_000)
    os.write(ours, b"n\n")
    assert process.wait(30) == 1
    os.close(ours)
    assert b"50 of 50 tasks to retry" in said
    assert json.loads(good(worked("batches", "--json"))) == before

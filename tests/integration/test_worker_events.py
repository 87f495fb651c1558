"""What a worker tells while it works: typed events in its main process, and log records."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from goque import Queue, RetryAfter
from goque.app.duties import SharedDuties
from goque.app.spawning import Spawner
from goque.model import events as told
from goque.model.events import Events, RunEnded, RunsDone, RunsNotDone
from goque.model.states import RunOutcome, Status
from goque.observe import logs
from goque.payload.keys import KeyRing
from goque.postgres.database import Database
from goque.worker.crew import WorkerConfig
from goque.worker.worker import Worker
from tests.architecture.sources import ROOT
from tests.integration.conftest import SECRET
from tests.rig import Rig

KINDS = [kind for kind in vars(told).values() if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__")]


def drain(dsn: str, events: Events, spawner: Callable[..., Any] = Spawner) -> None:
    """Work in this process until nothing is left to do."""
    database = Database(dsn)
    duties = partial(SharedDuties, events=events)
    config = WorkerConfig(slots=2, drain=True)
    Worker(database, KeyRing.from_text(SECRET), config, duties=duties, spawner=spawner, events=events).run()
    database.close()


def count_letters(word: str) -> int:
    if word == "bad":
        raise RetryAfter(0.05)
    return len(word)


def test_a_worker_tells_what_it_does(alone: Queue) -> None:
    batch = alone.map(count_letters, ["one", "three", "bad"], max_attempts=2)
    task = alone.options(queue="etl").submit(len, "x" * 100_000)
    events, heard = Events(), list[Any]()
    for kind in KINDS:
        events.on(kind, heard.append)
    events.on(RunsDone, lambda _: 1 / 0)  # whoever fails to listen does no harm

    drain(alone.dsn, events)

    [started] = [one for one in heard if isinstance(one, told.WorkerStarted)]
    assert (started.slots, started.pool) == (2, "process")
    done = [run for one in heard if isinstance(one, RunsDone) for run in one.runs]
    assert sorted(run.task for run in done) == sorted([batch[0].id, batch[1].id, task.id])
    assert {(run.type.rpartition(".")[2], run.queue) for run in done} == {("count_letters", "default"), ("len", "etl")}
    large = next(run for run in done if run.task == task.id)
    assert (large.batch, large.status, large.outcome) == (None, Status.DONE, RunOutcome.DONE)
    assert large.args_bytes > 100_000
    assert 0 < large.result_bytes < 1000
    assert large.started_at is not None
    assert -1 < large.started_at - large.ready_at < 30  # of two clocks, which here are one
    failed = [run for one in heard if isinstance(one, RunsNotDone) for run in one.runs]
    assert [(run.attempt, run.outcome, run.status) for run in failed] == [
        (1, RunOutcome.ERROR, Status.ERROR),
        (2, RunOutcome.ERROR, Status.ATTEMPTS_LEFT),
    ]
    assert sum(one.tasks for one in heard if isinstance(one, told.TasksClaimed)) == 5
    assert sum(one.tasks for one in heard if isinstance(one, told.TasksPromoted)) == 1


def test_a_worker_tells_what_it_freed_of_a_lost_one(alone: Queue, database: Database) -> None:
    rig = Rig(database)
    batch = alone.map(abs, range(3))
    victim = rig.worker()
    ran, *_ = victim.claim(rig.ask("select id from goque.lane")[0].id, 2)
    victim.start(ran)
    rig.lose(victim.id)
    victim.connection.close()
    events, healed = Events(), list[told.TasksHealed]()
    events.on(told.TasksHealed, healed.append)

    drain(alone.dsn, events)

    assert [dict(one.by_status) for one in healed] == [{"error": 1, "new": 1}]
    assert batch.results(timeout=10) == [0, 1, 2]


SAMPLES = [
    told.WorkerStarted(12, 2, "process"),
    told.WorkersLost([4, 5], itself=False),
    told.WorkersLost([12], itself=True),
    told.TasksHealed({"error": 3, "attempts_left": 1}),
    told.TasksCleaned({"batches": 1, "tasks": 1_000}),
    told.TasksExpired(6),
    told.TasksScheduled(7),
    told.TasksPromoted(8),
    told.TasksClaimed(9),
    RunsDone([RunEnded(1, 1, "f", "default", None, RunOutcome.DONE, Status.DONE, 1, 0.0, 0.1, 0.1, 5, 5)]),
    RunsNotDone(
        [RunEnded(2, 3, "f", "default", None, RunOutcome.CRASH, Status.ATTEMPTS_LEFT, 1, 0.0, None, 0.1, 0, 0)]
    ),
]


def test_every_kind_of_event_becomes_a_record_with_what_it_holds(caplog: pytest.LogCaptureFixture) -> None:
    assert {type(sample) for sample in SAMPLES} == set(KINDS)
    caplog.set_level(logging.DEBUG)
    events = Events()
    logs.follow_runs(events)
    logs.follow_others(events)
    for sample in SAMPLES:
        events.emit(sample)
    records = [json.loads(logs.JsonFormatter().format(record)) for record in caplog.records]
    *rare, done, failed = records
    for sample, record in zip(SAMPLES, rare, strict=False):
        assert record["event"] == type(sample).__name__
        assert asdict(sample).items() <= record.items()  # type: ignore[call-overload]
    assert len(rare) == len(SAMPLES) - 2
    assert [(one["event"], one["task"], one["outcome"]) for one in (done, failed)] == [
        ("RunEnded", 1, "done"),
        ("RunEnded", 2, "crash"),
    ]


def test_who_wants_little_told_costs_nothing_for_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    events = Events()
    logs.follow_runs(events)
    logs.follow_others(events)
    assert {kind.__name__ for kind in KINDS if events.wanted(kind)} == {"RunsNotDone", "WorkersLost", "TasksHealed"}


def test_the_document_has_each_event_with_its_level_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    document = (ROOT / "docs" / "observability.md").read_text()
    rows = re.findall(r"^\| `([A-Z]\w+)` \| (\w+) \| (.*?) \|", document, re.MULTILINE)
    shown = {name: (level, re.findall(r"`(\w+)`", listed)) for name, level, listed in rows}
    caplog.set_level(logging.DEBUG)
    events = Events()
    logs.follow_runs(events)
    logs.follow_others(events)
    for sample in SAMPLES:
        events.emit(sample)
    for record, sample in zip(caplog.records, SAMPLES, strict=True):
        level, listed = shown.pop(vars(record)["event"], ("", []))
        if isinstance(sample, RunsDone):
            assert [name for name in vars(record) if name in RunEnded._fields] == listed
        elif listed:
            assert (record.levelname.lower(), [field.name for field in fields(sample)]) == (level, listed)
    assert shown == {}
    assert len(rows) == len(KINDS) - 1  # both of runs have one name


def test_events_tell_whether_somebody_listens_and_survive_who_fails(caplog: pytest.LogCaptureFixture) -> None:
    events, heard = Events(), list[RunsDone]()
    events.emit(RunsDone([]))
    assert not events.wanted(RunsDone)
    events.on(RunsDone, lambda _: 1 / 0)
    events.on(RunsDone, heard.append)
    events.emit(RunsDone([]))
    assert events.wanted(RunsDone)
    assert not events.wanted(RunsNotDone)
    assert heard == [RunsDone([])]
    assert "a listener of RunsDone failed" in caplog.text


WORK = """
from goque import Queue
def handle(word):
    print(word)
    raise ValueError(word)
with Queue() as q:
    q.map(handle, ["payload one", "payload two"], max_attempts=1)
    q.options(queue="etl", metadata={"m": "payload three"}).submit(str.upper, "payload four")
"""


@pytest.mark.direct
def test_records_of_a_worker_have_the_context_of_runs_and_nothing_secret(dsn: str) -> None:
    address = make_conninfo(dsn, password="payload-of-pg")
    environment = {**os.environ, "GOQUE_DSN": address, "GOQUE_SECRET": "payload of a key, " + SECRET}
    subprocess.run([sys.executable, "-c", WORK], env=environment, check=True, timeout=30)
    options = ["--drain", "--log-format", "json", "--log-level", "debug"]
    command = [sys.executable, "-m", "goque.cli", "worker", "--concurrency", "1", *options]
    worked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert worked.returncode == 0, worked.stderr

    assert "payload" not in worked.stderr
    records = [json.loads(line) for line in worked.stderr.splitlines()]
    assert {"time", "level", "logger", "message", "host"} <= set.intersection(*(set(one) for one in records))
    runs = [one for one in records if one["logger"] == "goque.runs"]
    assert Counter((one["level"], one["outcome"], one["status"], one["queue"]) for one in runs) == {
        ("warning", "error", "attempts_left", "default"): 2,
        ("debug", "done", "done", "etl"): 1,
    }
    failed = next(one for one in runs if one["outcome"] == "error")
    assert failed["type"].endswith("handle")
    assert failed["error_type"] == "ValueError"
    assert f"task {failed['task']} " in failed["message"]
    assert failed["batch"] == failed["task"] // 10**9
    with psycopg.connect(dsn) as connection:
        ids = {id for (id,) in connection.execute("SELECT id FROM goque.worker")}
    assert {one["worker"] for one in runs} == ids


def run_of(task: int) -> RunEnded:
    return RunEnded(task, 1, "f", "default", None, RunOutcome.CRASH, Status.ATTEMPTS_LEFT, 1, 0.0, None, 0.1, 0, 0)


def test_a_map_that_fails_as_a_whole_is_told_of_in_a_few_records(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    caplog.set_level(logging.INFO)
    events = Events()
    logs.follow_runs(events)
    assert not events.wanted(RunsDone)
    events.emit(RunsNotDone([run_of(task) for task in range(500)]))
    assert len(caplog.records) == logs.MOST_A_SECOND
    now = 101.0
    events.emit(RunsNotDone([run_of(500)]))
    assert [record.getMessage() for record in caplog.records[-2:]] == [
        f"{500 - logs.MOST_A_SECOND} more runs ended without success",
        "task 500 (f) in queue default, run 1: crash after 0.1 s, now attempts_left",
    ]

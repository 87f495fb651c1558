"""What a worker serves to Prometheus, and what a dashboard asks of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import promql_parser
import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

import goque.observe
from goque import Queue, RetryAfter
from goque.app.serve import _served
from goque.errors import InvalidInput
from goque.model import events as told
from goque.model.events import Events, Load
from goque.observe import prometheus
from goque.observe.prometheus import Metrics
from goque.postgres.database import Database
from tests.architecture.sources import ROOT
from tests.integration.conftest import SECRET, until
from tests.integration.test_worker_events import drain
from tests.rig import Rig


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric, name: str = "") -> dict[tuple[str, ...], float]:
    """What a family holds, by values of its labels in the order of their names; ``name`` is a series of a histogram."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for sample in family.samples
        if not name or sample.name == f"{family.name}_{name}"
    }


def counted(metrics: Metrics) -> dict[str, Metric]:
    registry = CollectorRegistry()
    registry.register(metrics)
    return families(generate_latest(registry).decode())


@pytest.fixture
def metrics(alone: Queue) -> Metrics:
    events = Events()
    made = Metrics(events, alone._core.database, lambda: Load(2, 1, 5, 3))
    made.events = events  # type: ignore[attr-defined]
    return made


def work(word: str) -> str:
    if word == "bad":
        raise RetryAfter(0.01)
    return word


def test_a_worker_s_metrics_are_what_it_did(alone: Queue, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "FRESH_S", 600.0)
    alone.map(work, ["good", "long" * 1000, "bad"], max_attempts=2)
    before = counted(metrics)
    assert values(before["goque_queue_tasks"])["default", "new"] == 3
    assert values(before["goque_queue_oldest_ready_seconds"])[("default",)] > 0
    assert values(before["goque_runs"]) == {}
    assert values(before["goque_worker_buffered"]) == {(): 5}

    drain(alone.dsn, metrics.events)  # type: ignore[attr-defined]

    after = counted(metrics)
    assert values(after["goque_queue_tasks"])["default", "new"] == 3, "it asks every few seconds only"
    monkeypatch.setattr(prometheus, "FRESH_S", 0.0)
    after = counted(metrics)
    tasks = values(after["goque_queue_tasks"])
    assert (tasks["default", "done"], tasks["default", "attempts_left"], tasks["default", "new"]) == (2, 1, 0)
    name = f"{work.__module__}.work"
    assert values(after["goque_runs"]) == {("done", "default", name): 2, ("error", "default", name): 2}
    assert values(after["goque_run_seconds"], "count") == {("default", name): 4}
    assert 0 < values(after["goque_run_seconds"], "sum")["default", name] < 60
    assert values(after["goque_wait_seconds"], "count") == {("default", name): 4}
    assert 0 < values(after["goque_wait_seconds"], "sum")["default", name] < 60
    attempts = values(after["goque_task_attempts"], "bucket")
    assert [attempts[bound, "default", name] for bound in ("1.0", "2.0", "+Inf")] == [2, 3, 3]
    assert values(after["goque_payload_bytes"], "count") == {("arguments",): 4, ("result",): 2}
    assert values(after["goque_payload_bytes"], "bucket")["arguments", "1024.0"] == 3
    assert values(after["goque_claimed_tasks"]) == {(): 4}
    assert 2 <= values(after["goque_claims"])[()] <= 4
    assert values(after["goque_promoted_tasks"]) == {(): 1}
    assert values(after["goque_database_up"]) == {(): 1}


def test_rare_things_are_counted_and_a_database_that_is_away_makes_gauges_missing() -> None:
    events = Events()
    database = Database("postgresql:///x?host=/nonexistent")
    metrics = Metrics(events, database, lambda: Load(1, 0, 0, 0))
    events.emit(told.TasksHealed({"error": 3, "attempts_left": 1}))
    events.emit(told.TasksCleaned({"task": 7}))
    events.emit(told.TasksScheduled(2))
    events.emit(told.TasksExpired(3))
    events.emit(told.WorkersLost([4, 5], itself=False))
    found = counted(metrics)
    assert values(found["goque_healed_tasks"]) == {("error",): 3, ("attempts_left",): 1}
    assert values(found["goque_cleaned_rows"]) == {("task",): 7}
    assert values(found["goque_scheduled_tasks"]) == {(): 2}
    assert values(found["goque_expired_tasks"]) == {(): 3}
    assert values(found["goque_lost_workers"]) == {(): 2}
    assert values(found["goque_database_up"]) == {(): 0}
    assert "goque_queue_tasks" not in found


def families_at(address: str) -> dict[str, Metric]:
    with urllib.request.urlopen(address, timeout=10) as response:
        return families(response.read().decode())


def leave_behind(queue: Queue) -> None:
    """A task of a lost worker, which is to be freed, and one whose retention is over."""
    old, rig = queue.submit(abs, 1), Rig(queue._core.database)
    old.cancel()
    passed = ", ".join(f"{moment} = now() - interval '40 days'" for moment in ("created_at", "finished_at"))
    rig.ask(f"update goque.task set {passed} where id = {old.id} returning id")
    lost, lane = rig.worker(), rig.lane()
    rig.tasks(lane, 1)
    lost.start(*lost.claim(lane))
    rig.lose(lost.id)
    lost.connection.close()


def test_the_command_serves_metrics_with_three_connections(alone: Queue) -> None:
    dsn = alone.dsn
    leave_behind(alone)
    alone.map(work, ["good", "long", "bad"], max_attempts=2)
    command = [sys.executable, "-m", "goque.cli", "worker", "--concurrency", "1", "--metrics-port", "0"]
    environment = {**os.environ, "GOQUE_DSN": dsn, "GOQUE_SECRET": SECRET}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as worker:
        assert worker.stderr is not None
        try:
            address = next(found[1] for line in worker.stderr if (found := re.search(r"metrics at (\S+)", line)))
            assert address.startswith("http://127.0.0.1:")
            next(line for line in worker.stderr if re.search(r"worker \d+ on", line))
            served = partial(families_at, address)
            until(lambda: values(served()["goque_healed_tasks"]) == {("error",): 1}, "it has freed what another held")
            until(lambda: sum(values(served()["goque_runs"]).values()) == 4, "it has run all")
            until(lambda: values(served()["goque_cleaned_rows"]).get(("tasks",)) == 1, "it has removed what is old")
            found = served()
            with psycopg.connect(dsn) as connection:
                sessions = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'goque worker' "
                    "AND datname = current_database()"
                ).fetchone()
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert values(found["goque_worker_slots"]) == {(): 1}
    name = f"{work.__module__}.work"
    assert values(found["goque_runs"]) == {("done", "default", name): 2, ("error", "default", name): 2}
    for histogram, number in {"goque_wait_seconds": 4, "goque_run_seconds": 4, "goque_task_attempts": 3}.items():
        assert values(found[histogram], "count") == {("default", name): number}
    assert values(found["goque_payload_bytes"], "count") == {("arguments",): 4, ("result",): 2}
    assert 2 <= values(found["goque_claims"])[()] <= values(found["goque_claimed_tasks"])[()] == 4
    assert values(found["goque_worker_running"]) == {(): 0}
    assert found["goque_queue_oldest_ready_seconds"].samples
    assert values(found["goque_workers_alive"]) == {(): 1}
    assert sessions is not None
    assert sessions[0] <= 3


def test_an_address_that_is_taken_or_a_library_that_is_missing_is_said(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle: Any = SimpleNamespace(database=None, load=None)
    with prometheus.served(metrics, "127.0.0.1", 0) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        taken = pytest.raises(InvalidInput, match="Address already in use; choose another --metrics-port")
        with taken, _served(idle, Events(), ("127.0.0.1", port)):
            pass
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "goque.observe.prometheus")
    monkeypatch.delattr(goque.observe, "prometheus")
    missing = pytest.raises(InvalidInput, match=r'metrics need prometheus_client: pip install "goque\[metrics\]"')
    with missing, _served(idle, Events(), ("127.0.0.1", 0)):
        pass


# The dashboard and the document against what there is.


@pytest.fixture
def known(metrics: Metrics) -> dict[str, Metric]:
    """Every family there is."""
    return {family.name: family for family in metrics.collect()}


def series_of(family: Metric) -> set[str]:
    """The names under which Prometheus keeps a family."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}[family.type]
    return {family.name + suffix for suffix in suffixes}


def expressions() -> Iterator[str]:
    for panel in json.loads((ROOT / "docs" / "grafana.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m")


def test_every_expression_of_the_dashboard_parses_and_asks_for_what_there_is(known: dict[str, Metric]) -> None:
    used: set[str] = set()
    labels: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            used.add(node.name)
            labels.update(matcher.name for matcher in node.matchers.matchers)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            labels.update(node.modifier.labels)

    for expression in expressions():
        promql_parser.walk(promql_parser.parse(expression), visit)
    assert used <= set().union(*map(series_of, known.values()))
    unused = [name for name, family in known.items() if not used & series_of(family)]
    assert unused == []
    assert labels <= {"queue", "type", "outcome", "status", "kind", "le", "instance"}


def test_every_metric_is_documented(known: dict[str, Metric]) -> None:
    text = (ROOT / "docs" / "observability.md").read_text()
    rows = re.findall(r"^\| `(goque_\w+)` \| (\w+) \|", text, re.MULTILINE)
    assert dict(rows) == {
        name + ("_total" if family.type == "counter" else ""): family.type for name, family in known.items()
    }

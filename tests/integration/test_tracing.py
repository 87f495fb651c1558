"""Spans of what is sent and of what is run, made in different processes and joined into traces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from goque import Queue
from goque.app.spawning import Spawner
from goque.model.events import Events, RunEnded, RunsDone, RunsNotDone
from goque.model.states import RunOutcome, Status
from goque.model.tracing import NoTracing
from goque.observe.tracing import Spans
from tests.integration.conftest import SECRET, RunScript
from tests.integration.test_worker_events import drain

SEND = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from goque import Queue, context

exporter = InMemorySpanExporter()
trace.set_tracer_provider(provider := TracerProvider())
provider.add_span_processor(SimpleSpanProcessor(exporter))

def half(number):
    return 1 / number

def parent():
    context().submit(len, "abc")

with Queue() as q, trace.get_tracer("app").start_as_current_span("the application's"):
    batch = q.map(half, [0, 2], max_attempts=1)
    task = q.options(queue="etl").submit(parent)
    with q.pipeline():
        q.submit(len, "piped")
    try:
        q.options(external_id="taken").submit(len, "a")
        q.options(external_id="taken", on_duplicate="error").submit(len, "b")
    except ValueError:
        pass
print(json.dumps({
    "batch": batch.id, "task": task.id,
    "spans": [json.loads(span.to_json(indent=None)) for span in exporter.get_finished_spans()],
}))
"""


def as_json(exporter: InMemorySpanExporter) -> list[dict[str, Any]]:
    return [json.loads(span.to_json(indent=None) or "") for span in exporter.get_finished_spans()]


def those(spans: Iterable[dict[str, Any]], name: str, type: str = "") -> list[dict[str, Any]]:
    """The spans of this name, for tasks of this type."""
    return [
        span
        for span in spans
        if span["name"] == name and span["attributes"].get("goque.type", "").rpartition(".")[2] == type
    ]


@pytest.mark.direct
def test_the_span_of_a_run_is_the_child_of_the_one_that_sent_it(dsn: str, run_script: RunScript) -> None:
    sent = run_script(SEND, dsn)
    exporter, traces = recorder()
    events = Events()
    traces.follow(events)
    drain(dsn, events, spawner=partial(Spawner, tracing=traces))

    [app] = those(sent["spans"], "the application's")
    [mapped] = those(sent["spans"], "send default", "half")
    assert mapped["parent_id"] == app["context"]["span_id"]
    assert mapped["kind"] == "SpanKind.PRODUCER"
    facts = mapped["attributes"]
    assert (facts["messaging.system"], facts["messaging.batch.message_count"]) == ("goque", 2)
    assert facts["goque.batch"] == sent["batch"]
    [submitted] = those(sent["spans"], "send etl", "parent")
    assert submitted["attributes"]["messaging.message.id"] == str(sent["task"])
    [refused] = [span for span in sent["spans"] if span["status"]["status_code"] == "ERROR"]
    assert (refused["attributes"]["error.type"], refused["events"]) == ("DuplicateTask", [])

    spans = as_json(exporter)
    assert {span["context"]["trace_id"] for span in spans} == {app["context"]["trace_id"]}
    halves = those(spans, "process default", "half")
    assert [(span["parent_id"], span["kind"]) for span in halves] == [
        (mapped["context"]["span_id"], "SpanKind.CONSUMER")
    ] * 2
    [failed] = [span for span in halves if span["status"]["status_code"] == "ERROR"]
    assert failed["attributes"]["error.type"] == "ZeroDivisionError"
    assert failed["attributes"]["goque.outcome"] == "error"
    assert failed["attributes"]["messaging.message.id"] == str(sent["batch"] * 10**9)
    [parent] = those(spans, "process etl", "parent")
    assert parent["parent_id"] == submitted["context"]["span_id"]
    [asked] = those(spans, "send default", "len")
    assert asked["parent_id"] == parent["context"]["span_id"]
    # What the parent asked for, what went through the pipeline, and what has an external id.
    senders = [*those(sent["spans"], "send default", "len"), asked]
    ran = [span["parent_id"] for span in those(spans, "process default", "len")]
    assert sorted(ran) == sorted({one["context"]["span_id"] for one in senders} - {refused["context"]["span_id"]})


def recorder() -> tuple[InMemorySpanExporter, Spans]:
    """Spans, and where they are kept."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter := InMemorySpanExporter()))
    return exporter, Spans(provider)


def ended(task: int, **changed: Any) -> RunEnded:
    run = RunEnded(task, 1, "f", "q", None, RunOutcome.DONE, Status.DONE, 1, 0.0, 1000.0, 0.5, 0, 0)
    return run._replace(**changed)


def test_runs_that_nobody_sent_in_a_span_begin_a_trace_and_those_without_code_have_none() -> None:
    exporter, traces = recorder()
    events = Events()
    traces.follow(events)
    with traces.sending("submit", "f", "q", inside=ended(1)):
        pass
    events.emit(RunsDone([ended(1), ended(2, traceparent="not a traceparent")]))
    events.emit(RunsNotDone([ended(3, started_at=None, outcome=RunOutcome.CANCELED, status=Status.CANCELED)]))
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["process q", "send q", "process q"]
    assert spans[1].parent is not None
    assert spans[1].parent.span_id == spans[0].context.span_id
    assert spans[2].parent is None
    assert (spans[2].start_time, spans[2].end_time) == (1_000_000_000_000, 1_000_500_000_000)


NOBODY = """
import json, sys
from goque import Queue
with Queue() as q:
    q.map(len, ["a"])
    q.submit(len, "b")
    kind = type(q._core.tracing).__name__
loaded = [name for name in ("opentelemetry", "prometheus_client") if name in sys.modules]
print(json.dumps([kind, *loaded]))
"""


@pytest.mark.direct
def test_where_nobody_traces_nothing_is_loaded_and_nothing_stored(dsn: str, run_script: RunScript) -> None:
    assert run_script(NOBODY, dsn) == [NoTracing.__name__]
    with psycopg.connect(dsn) as connection:
        tasks = connection.execute("SELECT count(*), count(traceparent) FROM goque.task").fetchall()
        lanes = connection.execute("SELECT count(*), count(traceparent) FROM goque.lane").fetchall()
    assert (tasks, lanes) == ([(2, 0)], [(2, 0)])


WORKED = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
trace.set_tracer_provider(provider := TracerProvider())
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"{span.name}\\n")))
from goque.cli import main
main()
"""


@pytest.mark.direct
def test_the_command_traces_where_a_provider_is_set(alone: Queue) -> None:
    alone.submit(len, "abc")
    command = [sys.executable, "-c", WORKED, "worker", "--drain", "--concurrency", "1"]
    environment = {**os.environ, "GOQUE_DSN": alone.dsn, "GOQUE_SECRET": SECRET}
    worked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert worked.returncode == 0, worked.stderr
    assert worked.stdout == "process default\n"

"""Spans for OpenTelemetry: one where tasks are sent, one for each run, whose parent it is. Not for: spans of user code.

Needs ``goque[tracing]`` and a tracer provider that the application, or ``opentelemetry-instrument``, has set. The span
of a run is made by the worker's main process after the run, with the times at which it began and ended.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from goque.model.events import Events, RunEnded, RunsDone, RunsNotDone
from goque.model.states import RunOutcome
from goque.model.tracing import NoTracing, Sent, Tracing
from goque.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

FAILED = frozenset({RunOutcome.ERROR, RunOutcome.TIMEOUT, RunOutcome.CRASH})
MOST_KEPT = 10_000
"""Spans of runs that sent something, kept until their outcome is told of."""


def found() -> Tracing:
    """Whoever traces in this process; nobody where OpenTelemetry was never imported, which costs nothing to find."""
    return Spans() if "opentelemetry.trace" in sys.modules else NoTracing()


class Spans:
    """Makes spans with the tracer provider that is set, or with this one."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        from opentelemetry import trace

        self._tracer = trace.get_tracer("goque", VERSION, provider)
        self._told: dict[tuple[int, int], Context] = {}

    def follow(self, events: Events) -> None:
        """Make a span of each run that ends."""
        events.on(RunsDone, lambda ended: self._ran(ended.runs))
        events.on(RunsNotDone, lambda ended: self._ran(ended.runs))

    @contextmanager
    def sending(
        self, verb: str, type: str, queue: str, *, task: int | None = None, inside: RunEnded | None = None
    ) -> Iterator[Sent]:
        """A span while the block runs: one task, or with None several. ``inside``: a run has asked for them."""
        from opentelemetry.trace import SpanKind

        attributes = _attributes("send", verb, type, queue) | (
            {} if task is None else {"messaging.message.id": str(task)}
        )
        context = None if inside is None else self._span_of(inside)
        with self._tracer.start_as_current_span(
            f"send {queue}",
            context=context,
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            record_exception=False,  # its message may hold arguments
            set_status_on_exception=False,
        ) as span:
            sent = Sent(_traceparent())
            try:
                yield sent
            except BaseException as error:
                _failed(span, error.__class__.__qualname__)
                raise
            if sent.batch is not None:
                span.set_attribute("goque.batch", sent.batch)
            if sent.count is not None:
                span.set_attribute("messaging.batch.message_count", sent.count)

    def _ran(self, runs: Sequence[RunEnded]) -> None:
        for run in runs:
            if self._told.pop((run.task, run.run), None) is None and run.started_at is not None:
                self._record(run)

    def _span_of(self, run: RunEnded) -> Context:
        """The span of a run that has ended and is not told of yet, for those that it sends."""
        key = run.task, run.run
        if key not in self._told:
            if len(self._told) >= MOST_KEPT:
                del self._told[next(iter(self._told))]
            self._told[key] = self._record(run)
        return self._told[key]

    def _record(self, run: RunEnded) -> Context:
        from opentelemetry.trace import SpanKind, set_span_in_context

        began = int((run.started_at or 0.0) * 1e9)
        attributes = _attributes("process", "run", run.type, run.queue) | {
            "messaging.message.id": str(run.task),
            "goque.run": run.run,
            "goque.attempt": run.attempt,
            "goque.outcome": run.outcome.value,
        }
        if run.batch is not None:
            attributes["goque.batch"] = run.batch
        span = self._tracer.start_span(
            f"process {run.queue}",
            context=_context(run.traceparent),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            start_time=began,
        )
        if run.outcome in FAILED:
            _failed(span, run.error_type or run.outcome.value)
        span.end(began + int(run.run_s * 1e9))
        return set_span_in_context(span)


def _attributes(kind: str, verb: str, type: str, queue: str) -> dict[str, Any]:
    """By OpenTelemetry's semantic conventions for messaging; the type of task is our own."""
    return {
        "messaging.system": "goque",
        "messaging.operation.type": kind,
        "messaging.operation.name": verb,
        "messaging.destination.name": queue,
        "goque.type": type,
    }


def _failed(span: Span, why: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", why)
    span.set_status(Status(StatusCode.ERROR))


def _traceparent() -> str | None:
    """The present span as W3C Trace Context writes it; None where nothing is recorded."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _context(traceparent: str | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # Not the present context: a worker's thread may be inside somebody's span.
    if traceparent is None:
        return Context()
    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())

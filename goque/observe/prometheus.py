"""Metrics for Prometheus, served over HTTP by a worker. Not for: deciding anything. Needs ``goque[metrics]``.

Counted here rather than by the client library's own counters: they take a lock for each observation, and a worker may
end 50,000 runs a second.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from goque.errors import DatabaseError, InvalidInput
from goque.model import events as told
from goque.model.events import Events, Load, RunEnded
from goque.model.states import FINAL
from goque.postgres.verbs import Verbs
from goque.queries import depth, moments, workers
from goque.queries.depth import QueueDepth

FRESH_S = 5.0
"""The database is asked at most this often, however many read the metrics."""
SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200)
BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 1 << 20, 8 << 20, 64 << 20)
ATTEMPTS = (1, 2, 3, 5, 10)


@dataclass(slots=True)
class Tally:
    """What is counted, by labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    numbers: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, number: float, *labels: str) -> None:
        """So many more."""
        self.numbers[labels] += number  # type: ignore[assignment]

    def family(self) -> Metric:
        """As Prometheus takes it."""
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for labels, number in self.numbers.items() or ([((), 0)] if not self.labels else []):
            family.add_metric(labels, number)
        return family


@dataclass(slots=True)
class Spread:
    """A histogram, by labels."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: Sequence[float]
    counts: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    sums: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, values: Sequence[float], *labels: str) -> None:
        """These values as well."""
        if values:
            counts = self.counts.setdefault(labels, [0] * (len(self.bounds) + 1))
            for value in values:
                counts[bisect_left(self.bounds, value)] += 1
            self.sums[labels] += sum(values)  # type: ignore[assignment]

    def family(self) -> Metric:
        """As Prometheus takes it: each bucket counts all that is not larger than its bound."""
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, counts in self.counts.items():
            total, buckets = 0, []
            for bound, number in zip((*self.bounds, float("inf")), counts, strict=True):
                total += number
                buckets.append((_bound(bound), total))
            family.add_metric(labels, buckets, self.sums[labels])
        return family


class Metrics(Collector):
    """Counts what a worker tells of, and asks the database how much waits when somebody reads."""

    def __init__(self, events: Events, database: Verbs, load: Callable[[], Load]) -> None:
        """``load`` says how much the worker holds; ``database`` is asked every few seconds at most."""
        self._database = database
        self._load = load
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._asked_at = float("-inf")
        self._seen: tuple[list[QueueDepth], int] | None = None
        self._ahead_s = 0.0
        """By how much this machine's clock is ahead of the database's."""
        of_a_run = ("queue", "type")
        self.runs = Tally("goque_runs", "Runs that ended, by outcome.", (*of_a_run, "outcome"))
        self.run_s = Spread("goque_run_seconds", "How long runs took.", of_a_run, SECONDS)
        self.wait_s = Spread("goque_wait_seconds", "From ready to started.", of_a_run, SECONDS)
        self.attempts = Spread("goque_task_attempts", "Attempts of tasks that ended for good.", of_a_run, ATTEMPTS)
        self.sizes = Spread("goque_payload_bytes", "Sizes of arguments and results.", ("kind",), BYTES)
        self.claims = Tally("goque_claims", "Claims that brought tasks.")
        self.claimed = Tally("goque_claimed_tasks", "Tasks that claims brought.")
        self.healed = Tally("goque_healed_tasks", "Tasks of lost workers freed by this one.", ("status",))
        self.promoted = Tally("goque_promoted_tasks", "Tasks made ready by this worker when their time had come.")
        self.expired = Tally("goque_expired_tasks", "Waiting tasks canceled by this worker, not begun in time.")
        self.scheduled = Tally("goque_scheduled_tasks", "Tasks made of schedules by this worker.")
        self.cleaned = Tally("goque_cleaned_rows", "Rows removed by this worker after their retention.", ("kind",))
        self.lost = Tally("goque_lost_workers", "Workers that this one found lost.")
        self._counted = [value for value in vars(self).values() if isinstance(value, Tally | Spread)]
        self._listen(events)

    def _listen(self, events: Events) -> None:
        events.on(told.RunsDone, lambda ended: self._ended(ended.runs))
        events.on(told.RunsNotDone, lambda ended: self._ended(ended.runs))
        events.on(told.TasksClaimed, self._claimed)
        events.on(told.TasksHealed, lambda one: self._add(self.healed, one.by_status))
        events.on(told.TasksCleaned, lambda one: self._add(self.cleaned, one.by_kind))
        events.on(told.TasksPromoted, lambda one: self._add(self.promoted, one.tasks))
        events.on(told.TasksExpired, lambda one: self._add(self.expired, one.tasks))
        events.on(told.TasksScheduled, lambda one: self._add(self.scheduled, one.tasks))
        events.on(told.WorkersLost, lambda one: self._add(self.lost, len(one.workers)))

    def _add(self, tally: Tally, numbers: Mapping[str, int] | int) -> None:
        with self._lock:
            if isinstance(numbers, int):
                tally.add(numbers)
            else:
                for label, number in numbers.items():
                    tally.add(number, label)

    def _claimed(self, claim: told.TasksClaimed) -> None:
        with self._lock:
            self.claims.add(1)
            self.claimed.add(claim.tasks)

    def _ended(self, runs: Sequence[RunEnded]) -> None:
        groups: dict[tuple[str, str], list[RunEnded]] = {}
        for run in runs:
            groups.setdefault((run.queue, run.type), []).append(run)
        with self._lock:
            for labels, some in groups.items():
                for outcome, number in Counter([run.outcome for run in some]).items():
                    self.runs.add(number, *labels, outcome)
                begun = [run for run in some if run.started_at is not None]
                ahead = self._ahead_s
                self.run_s.add([run.run_s for run in begun], *labels)
                self.wait_s.add([max(0.0, (run.started_at or 0.0) - ahead - run.ready_at) for run in begun], *labels)
                self.attempts.add([run.attempt for run in some if run.status in FINAL], *labels)
                self.sizes.add([run.args_bytes for run in begun], "arguments")
                self.sizes.add([run.result_bytes for run in some if run.result_bytes], "result")

    def collect(self) -> Iterator[Metric]:
        """Everything, when somebody reads."""
        self._ask()
        with self._lock:
            yield from [counted.family() for counted in self._counted]
        yield from self._of_the_worker()
        yield from self._of_the_database()

    def _of_the_worker(self) -> Iterator[Metric]:
        load = self._load()
        yield GaugeMetricFamily("goque_worker_slots", "Tasks that this worker runs at once.", load.slots)
        yield GaugeMetricFamily("goque_worker_running", "Tasks that it runs.", load.running)
        yield GaugeMetricFamily("goque_worker_buffered", "Tasks that it holds and has not begun.", load.buffered)
        yield GaugeMetricFamily("goque_worker_unwritten", "Outcomes that are not written yet.", load.unwritten)

    def _of_the_database(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("goque_database_up", "Whether the database answered.", int(self._seen is not None))
        if self._seen is None:
            return
        queues, alive = self._seen
        tasks = GaugeMetricFamily("goque_queue_tasks", "Tasks of a queue by status.", labels=["queue", "status"])
        oldest = GaugeMetricFamily(
            "goque_queue_oldest_ready_seconds", "Age of the oldest ready task, 0 where none is ready.", labels=["queue"]
        )
        paused = GaugeMetricFamily("goque_queue_paused", "Whether a queue is paused.", labels=["queue"])
        for queue in queues:
            for status, number in queue.tasks.items():
                tasks.add_metric([queue.name, status.value], number)
            oldest.add_metric([queue.name], queue.oldest_ready_s or 0.0)
            paused.add_metric([queue.name], int(queue.paused))
        yield from (tasks, oldest, paused)
        yield GaugeMetricFamily("goque_workers_alive", "Workers that are neither lost nor ended.", alive)

    def _ask(self) -> None:
        """Look at the database, unless that was done just now. One that is away makes its gauges missing, not zero."""
        with self._asking:
            if time.monotonic() - self._asked_at < FRESH_S:
                return
            try:
                queues, alive, [now] = self._database.pipeline([depth.depth(), workers.alive(), moments.current()])
                self._seen = queues, len(alive)
                self._ahead_s = time.time() - now.timestamp()
            except DatabaseError:
                self._seen = None
            self._asked_at = time.monotonic()


def _bound(value: float) -> str:
    """A bucket's bound as its label has it."""
    return "+Inf" if value == float("inf") else str(float(value))


@contextmanager
def served(metrics: Metrics, address: str, port: int) -> Iterator[str]:
    """Serve these metrics while the block runs; gives their address. Port 0 is any that is free.

    Raises:
        InvalidInput: the address cannot be used.
    """
    registry = CollectorRegistry()
    registry.register(metrics)
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        raise InvalidInput(
            f"metrics cannot be served at {address}:{port}: {error.strerror or error}; choose another --metrics-port"
        ) from None
    try:
        yield f"http://{address}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)

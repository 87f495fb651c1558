"""Log records of a worker: as JSON for machines, and one for each event. Not for: what tasks themselves log, which is
kept with their runs.

No record holds arguments, results, messages of exceptions, keys or addresses with passwords.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from goque.model.durations import in_words
from goque.model.events import (
    Events,
    RunEnded,
    RunsDone,
    RunsNotDone,
    TasksClaimed,
    TasksCleaned,
    TasksExpired,
    TasksHealed,
    TasksPromoted,
    TasksScheduled,
    WorkersLost,
    WorkerStarted,
)
from goque.model.states import Status

log = logging.getLogger("goque.runs")
others = logging.getLogger("goque.events")

Format = Literal["text", "json"]
MOST_A_SECOND = 20
"""Runs that failed and are told of one by one; the rest of that second is told as a number."""
_WORDED: Mapping[type, tuple[int, Callable[[Any], str]]] = {
    WorkerStarted: (
        logging.INFO,
        lambda one: f"worker {one.worker} on {socket.gethostname()}: {one.slots} {one.pool} slots",
    ),
    WorkersLost: (
        logging.WARNING,
        lambda one: (
            f"worker {one.workers[0]} was declared lost; stopping what it runs and starting anew"
            if one.itself
            else f"workers {list(one.workers)} are lost"
        ),
    ),
    TasksHealed: (logging.WARNING, lambda one: f"freed tasks of lost workers: {_listed(one.by_status)}"),
    TasksCleaned: (logging.INFO, lambda one: f"removed what is past its retention: {_listed(one.by_kind)}"),
    TasksExpired: (logging.INFO, lambda one: f"canceled {one.tasks} tasks that had not begun in time"),
    TasksScheduled: (logging.DEBUG, lambda one: f"made {one.tasks} tasks of schedules"),
    TasksPromoted: (logging.DEBUG, lambda one: f"made {one.tasks} tasks ready whose time had come"),
    TasksClaimed: (logging.DEBUG, lambda one: f"claimed {one.tasks} tasks"),
}
"""How loud each event is told that is not about runs, and in which words."""
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what was given as ``extra``."""

    def __init__(self) -> None:
        super().__init__()
        self.always: dict[str, Any] = {"host": socket.gethostname()}
        """What stands in each record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.always,
            **{name: value for name, value in vars(record).items() if name not in _USUAL},
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def set_up(level: str, form: Format, events: Events) -> None:
    """Write records of this level and above to standard error, those of runs included."""
    handler = logging.StreamHandler()
    if form == "json":
        formatter = JsonFormatter()
        events.on(WorkerStarted, lambda started: formatter.always.update(worker=started.worker))
        handler.setFormatter(formatter)
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    follow_runs(events)
    follow_others(events)


def follow_others(events: Events) -> None:
    """Have all events told that are not about runs, as far as their level is on: what they hold stands beside."""
    for kind, (level, words) in _WORDED.items():
        if others.isEnabledFor(level):
            events.on(kind, partial(_tell_other, level, words))


def follow_runs(events: Events) -> None:
    """Have runs told of: failed ones as far as their level is on, done ones when debugging."""
    if log.isEnabledFor(logging.DEBUG):
        events.on(RunsDone, _tell_all)
    if log.isEnabledFor(logging.WARNING):
        events.on(RunsNotDone, _Failures().tell)


class _Failures:
    """Tells of failed runs, not of too many in one second: a map whose every item fails would tell nothing else."""

    def __init__(self) -> None:
        self._second = 0
        self._told = 0
        self._untold = 0

    def tell(self, ended: RunsNotDone) -> None:
        """Tell of these, or count them."""
        second = int(time.monotonic())
        if second != self._second:
            if self._untold:
                log.warning("%d more runs ended without success", self._untold, extra={"runs": self._untold})
            self._second, self._told, self._untold = second, 0, 0
        for run in ended.runs:
            level = _level(run)
            if not log.isEnabledFor(level):
                continue
            if self._told < MOST_A_SECOND:
                self._told += 1
                _tell(level, run)
            else:
                self._untold += 1


def _tell_other(level: int, words: Callable[[Any], str], event: Any) -> None:
    facts = {field.name: getattr(event, field.name) for field in fields(event)}
    others.log(level, words(event), extra={"event": type(event).__name__, **facts})


def _listed(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {number:,}" for kind, number in numbers.items())


def _tell_all(ended: RunsDone) -> None:
    for run in ended.runs:
        _tell(logging.DEBUG, run)


def _level(run: RunEnded) -> int:
    if run.status is Status.ATTEMPTS_LEFT:
        return logging.WARNING
    return logging.INFO if run.status is Status.ERROR else logging.DEBUG


def _tell(level: int, run: RunEnded) -> None:
    why = f" ({run.error_type})" if run.error_type else ""
    became = "" if run.outcome.value == run.status.value else f", now {run.status}"
    log.log(
        level,
        "task %s (%s) in queue %s, run %s: %s%s after %s%s",
        run.task,
        run.type,
        run.queue,
        run.run,
        run.outcome,
        why,
        in_words(run.run_s),
        became,
        extra={
            "event": RunEnded.__name__,
            "task": run.task,
            "run": run.run,
            "type": run.type,
            "queue": run.queue,
            "batch": run.batch,
            "outcome": run.outcome.value,
            "status": run.status.value,
            "attempt": run.attempt,
            "run_s": run.run_s,
            "error_type": run.error_type or None,
        },
    )

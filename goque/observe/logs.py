"""Log records of a worker: as JSON for machines, and one for each run that failed. Not for: what tasks themselves log,
which is kept with their runs.

No record holds arguments, results, messages of exceptions, keys or addresses with passwords.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from datetime import UTC, datetime
from typing import Any, Literal

from goque.model.durations import in_words
from goque.model.events import Events, RunEnded, RunsDone, RunsNotDone, WorkerStarted
from goque.model.states import Status

log = logging.getLogger("goque.runs")

Format = Literal["text", "json"]
MOST_A_SECOND = 20
"""Runs that failed and are told of one by one; the rest of that second is told as a number."""
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
    follow(events)


def follow(events: Events) -> None:
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

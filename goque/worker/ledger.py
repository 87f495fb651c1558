"""What the database is told about runs: outcomes as rows, sealed. Not for: telling it (``completer``)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from goque.model.outcomes import Outcome
from goque.model.states import RunOutcome, Status
from goque.payload.envelope import Purpose, Sealer, context_of, run_context
from goque.payload.failures import storable
from goque.payload.keys import KeyRing
from goque.queries.finish import End, Success
from goque.queries.reports import Report
from goque.worker.desk import Ended, Held

MIB = 1024.0 * 1024.0

_KINDS: dict[str, tuple[Status, RunOutcome, int]] = {
    "error": (Status.ERROR, RunOutcome.ERROR, 1),
    "timeout": (Status.ERROR, RunOutcome.TIMEOUT, 1),
    "crash": (Status.ERROR, RunOutcome.CRASH, 1),
    "gave_up": (Status.ATTEMPTS_LEFT, RunOutcome.ERROR, 1),
    "canceled": (Status.CANCELED, RunOutcome.CANCELED, 0),
    "snoozed": (Status.PENDING, RunOutcome.SNOOZED, 0),
    "handed_back": (Status.NEW, RunOutcome.HANDED_BACK, 0),
    "unloadable": (Status.NEW, RunOutcome.HANDED_BACK, 0),
    "done": (Status.NEW, RunOutcome.HANDED_BACK, 0),  # in vain: its task was canceled meanwhile
}
"""What a task becomes by each kind of outcome, how the run is recorded, and what it is charged."""


def recorded(outcome: Outcome) -> RunOutcome:
    """How a run is recorded that has not made its task done."""
    return _KINDS[outcome.kind][1]


class News(NamedTuple):
    """What a running task has told: progress, the state to begin from next time, and output."""

    held: Held
    progress: dict[str, Any] | None
    checkpoint: bytes | None
    log: str


class Ledger:
    """Turns outcomes into rows. Remembers which lanes this worker cannot run for want of a module."""

    def __init__(self, ring: KeyRing) -> None:
        self._results = Sealer.of(ring, Purpose.RESULT)
        self._exceptions = Sealer.of(ring, Purpose.EXCEPTION)
        self._checkpoints = Sealer.of(ring, Purpose.CHECKPOINT)
        self._lacking: dict[int, str] = {}
        self._unsaid: list[int] = []

    def cannot_run(self, lane: int) -> bool:
        """Whether a module of this lane is missing here."""
        return lane in self._lacking

    def lacks(self, lane: int, module: str) -> None:
        """A module that this lane needs is missing here."""
        if lane not in self._lacking:
            self._lacking[lane] = module
            self._unsaid.append(lane)

    def newly_lacking(self) -> list[tuple[int, str]]:
        """Lanes and modules that were found missing and of which the database has not heard."""
        return [(lane, self._lacking[lane]) for lane in self._unsaid]

    def said_lacking(self, number: int) -> None:
        """The database has heard of the first so many of them."""
        del self._unsaid[:number]

    def lacking(self) -> list[int]:
        """The lanes that this worker cannot run."""
        return sorted(self._lacking)

    def successes(self, ended: Iterable[Ended]) -> list[Success]:
        """The rows of runs that returned."""
        now, seal = time.monotonic(), self._results.seal
        return [
            Success(
                held.id,
                held.run,
                seal(run_context(held.id, held.run), outcome.result or b""),
                now - one.at if now > one.at else 0.0,
                outcome.run_s,
                outcome.cpu_s,
                outcome.max_rss / MIB,
                (outcome.log and storable(outcome.log)) or None,
            )
            for one in ended
            for held, outcome in ((one.held, one.outcome),)
        ]

    def end(self, ended: Ended) -> End:
        """The row of a run that did not return, or whose task was canceled meanwhile."""

        held, outcome = ended.held, ended.outcome
        status, kind, charge = _KINDS[outcome.kind]
        delay = outcome.retry_in
        if status is Status.ERROR:
            status = Status.ATTEMPTS_LEFT if delay is None else status
        began = outcome.started > 0 or outcome.run_s > 0 or held.started
        return End(
            held.id,
            held.run,
            status,
            kind,
            charge=charge,
            delay=delay,
            reason=storable(outcome.message) or None if status is Status.CANCELED else None,
            error_type=storable(outcome.error_type) or None,
            error=storable(outcome.message) or None,
            user_frame=storable(outcome.user_frame) or None,
            traceback=storable(outcome.traceback) or None,
            exception=outcome.exception and self._exceptions.seal(run_context(held.id, held.run), outcome.exception),
            args_repr=storable(outcome.args_repr) or None,
            exit_signal=outcome.exit_signal,
            exit_code=outcome.exit_code,
            ago=max(0.0, time.monotonic() - ended.at),
            run_s=outcome.run_s if began else None,
            cpu_s=outcome.cpu_s if began else None,
            max_rss_mb=outcome.max_rss / MIB if began and outcome.max_rss else None,
            log=storable(outcome.log) or None,
        )

    def last_words(self, ended: Iterable[Ended]) -> list[Report]:
        """Checkpoints of runs that ended before they could be reported: the next attempt begins there."""
        return [
            Report(held.id, held.run, None, self._checkpoints.seal(context_of(held.id), held.new_checkpoint), None)
            for held in (one.held for one in ended)
            if held.new_checkpoint is not None
        ]

    def news(self, held: Iterable[Held]) -> list[News]:
        """What running tasks have told and the database has not heard."""
        return [
            News(one, one.progress, one.new_checkpoint, one.live_log)
            for one in held
            if one.progress is not None or one.new_checkpoint is not None or one.live_log
        ]

    def reports(self, news: Iterable[News]) -> list[Report]:
        """The rows of these news."""
        return [
            Report(
                held.id,
                held.run,
                None if progress is None else _as_json(progress),
                None if checkpoint is None else self._checkpoints.seal(context_of(held.id), checkpoint),
                storable(log) or None,
            )
            for held, progress, checkpoint, log in news
        ]

    @staticmethod
    def told(news: Iterable[News]) -> None:
        """The database has heard; what a task has told since then is still news."""
        for held, progress, checkpoint, log in news:
            if held.progress is progress:
                held.progress = None
            if held.new_checkpoint is checkpoint:
                held.new_checkpoint = None
            if held.live_log is log:
                held.live_log = ""


def _as_json(progress: dict[str, Any]) -> dict[str, Any]:
    """Progress as PostgreSQL takes it: no NaN, no infinity, no NUL."""
    return {
        name: storable(value) if isinstance(value, str) else value
        for name, value in progress.items()
        if not isinstance(value, float) or math.isfinite(value)
    }

"""What the database is told about runs: outcomes as rows, sealed. Not for: telling it (``completer``)."""

from __future__ import annotations

import time
from collections.abc import Iterable

from goque.model.outcomes import Outcome
from goque.model.retries import DEFAULT
from goque.model.states import RunOutcome, Status
from goque.payload.envelope import Purpose, Sealer, context_of, run_context
from goque.payload.failures import storable
from goque.payload.keys import KeyRing
from goque.queries.finish import End, Report, Success
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
}
"""What a task becomes by each kind of outcome, how the run is recorded, and what it is charged."""


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
        """Lanes and modules that were found missing since the last call."""
        unsaid, self._unsaid = self._unsaid, []
        return [(lane, self._lacking[lane]) for lane in unsaid]

    def success(self, ended: Ended) -> Success:
        """The row of a run that returned."""

        held, outcome = ended.held, ended.outcome
        return Success(
            held.id,
            held.run,
            self._results.seal(run_context(held.id, held.run), outcome.result or b""),
            max(0.0, time.monotonic() - ended.at),
            outcome.run_s,
            outcome.cpu_s,
            outcome.max_rss / MIB,
            storable(outcome.log) or None,
        )

    def end(self, ended: Ended) -> End:
        """The row of a run that did not return, or whose task was canceled meanwhile."""

        held, outcome = ended.held, ended.outcome
        if outcome.kind in ("unloadable", "done"):
            status, recorded, charge = Status.NEW, RunOutcome.HANDED_BACK, 0
        else:
            status, recorded, charge = _KINDS[outcome.kind]
        delay = outcome.retry_in
        if status is Status.ERROR:
            delay, status = self._again(held, outcome)
        began = outcome.started > 0 or outcome.run_s > 0 or held.started
        return End(
            held.id,
            held.run,
            status,
            recorded,
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

    def news(self, held: Iterable[Held]) -> list[Report]:
        """What running tasks have told since the last time."""
        reports = []
        for one in held:
            if one.progress is None and one.new_checkpoint is None and not one.live_log:
                continue
            checkpoint = one.new_checkpoint and self._checkpoints.seal(context_of(one.id), one.new_checkpoint)
            reports.append(Report(one.id, one.run, one.progress, checkpoint, storable(one.live_log) or None))
            one.progress = one.new_checkpoint = None
            one.live_log = ""
        return reports

    def _again(self, held: Held, outcome: Outcome) -> tuple[float | None, Status]:
        """When a failed task runs again, and what it is until then."""
        if outcome.kind == "error":
            return outcome.retry_in, Status.ERROR if outcome.retry_in is not None else Status.ATTEMPTS_LEFT
        # No child is left to ask its policy.
        return outcome.retry_in if outcome.retry_in is not None else DEFAULT(held.attempts + 1), Status.ERROR

"""Sealed rows as the user's values and exceptions. Not for: reading the rows (``queries.reading``)."""

from __future__ import annotations

from typing import Any

from goque.errors import ResultExpired, ResultUnavailable, TaskCanceled, TaskFailed
from goque.model.identity import batch_of, position_of
from goque.model.states import Status
from goque.payload import codec
from goque.payload.envelope import Opener, Purpose, context_of, item_context, run_context
from goque.payload.failures import Failure, rebuild
from goque.payload.keys import KeyRing
from goque.queries.outcomes import OutcomeRow


class Decoder:
    """Verifies, and only then unpickles."""

    def __init__(self, ring: KeyRing) -> None:
        self._openers = {purpose: Opener(ring, purpose) for purpose in Purpose}
        self._results = self._openers[Purpose.RESULT]

    def value(self, row: OutcomeRow, python: str | None, sealed: bytes | None = None) -> Any:
        """The result of a task that is done.

        Raises:
            ResultExpired, KeyMissing, SignatureInvalid, PythonMismatch: it cannot be had here.
        """
        blob = row.result if sealed is None else sealed
        if blob is None:
            raise ResultExpired(
                f"the result of task {row.id} is not there any more; q.options(keep=...) keeps it longer"
            )
        body = self._results.open(run_context(row.source, row.source_run), blob)
        if python is not None:
            codec.ensure_loadable(body, python)
        return codec.loads(body)

    def error(self, row: OutcomeRow, python: str | None) -> BaseException:
        """The exception of a task that ended without a result."""
        where = f"task {row.id}, attempt {row.attempt}" + (
            f", worker {row.worker} on {row.host}" if row.worker is not None else ""
        )
        if row.status is Status.CANCELED:
            return TaskCanceled(
                f"task {row.id} was canceled{f': {row.reason}' if row.reason else ''}; retry() runs it again",
                task_id=row.id,
            )
        if row.error_type is None:
            reason = row.error or row.reason or f"it ended as {row.outcome or row.status}"
            return TaskFailed(f"task {row.id} failed: {reason}", task_id=row.id, error_type=row.outcome or "")
        exception = None
        if row.exception is not None:
            try:
                context = run_context(row.source, row.source_run)
                exception = bytes(self._openers[Purpose.EXCEPTION].open(context, row.exception))
            except ResultUnavailable:
                exception = None
        failure = Failure(row.error_type, row.error or "", row.traceback or "", "", exception)
        return rebuild(failure, note=f"goque: {where}", task_id=row.id, python=python or "")

    def arguments(
        self, task: int, function_hash: str | None, sealed: bytes | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a task, without those that its batch shares."""
        if sealed is None:
            raise ResultExpired(f"the arguments of task {task} are not there any more")
        batch = batch_of(task)
        if batch is not None:
            body = self._openers[Purpose.ARGUMENTS].open(item_context(batch, position_of(task) or 0), sealed)
        else:
            body = self._openers[Purpose.SINGLE].open(context_of(function_hash or "", task), sealed)
        return codec.decode_arguments(body)

    def shared(self, batch: int, sealed: bytes | None) -> dict[str, Any]:
        """The keyword arguments that all calls of a batch share."""
        if sealed is None:
            return {}
        return codec.decode_arguments(self._openers[Purpose.KWARGS].open(context_of(batch), sealed))[1]

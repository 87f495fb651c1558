"""From outcomes as they come to what a caller asked for: values or exceptions, in order or not. Not for: waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from goque.app.core import Core, refuse_waiting_inside
from goque.app.reasons import late
from goque.client.spans import Span, ids_of, size_of
from goque.errors import InvalidInput
from goque.model.identity import batch_of
from goque.model.states import Status
from goque.notebook.cells import named
from goque.payload.failures import RemoteTraceback
from goque.queries import outcomes
from goque.queries.outcomes import OutcomeRow

ErrorPolicy = Literal["raise", "return", "skip"]


class Ended(NamedTuple):
    """A task that has ended: its value, or its exception."""

    id: int
    value: Any
    error: BaseException | None


def ended(core: Core, row: OutcomeRow, python: str | None) -> Ended:
    """The value or exception of an outcome; a large value is read now.

    Raises:
        ResultUnavailable: there is a result that this process cannot have.
    """
    if row.status is not Status.DONE:
        return Ended(row.id, None, _as_known_here(core.decoder.error(row, python)))
    sealed = None
    if row.result is None and row.size is not None:
        found = core.waiting.through_outages(lambda: core.database.all(outcomes.results([row.source])))
        sealed = dict(found).get(row.source)
    return Ended(row.id, core.decoder.value(row, python, sealed), None)


def _as_known_here(error: BaseException) -> BaseException:
    """With the cells of this notebook in the remote traceback as the user knows them."""
    if isinstance(error.__cause__, RemoteTraceback):
        error.__cause__ = RemoteTraceback(named(error.__cause__.text))
    return error


def as_they_come(
    core: Core,
    spans: Sequence[Span],
    lanes: Callable[[], Iterable[int]],
    *,
    timeout: float | None = None,
    tick: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
    values: bool = False,
) -> Iterator[OutcomeRow]:
    """The outcomes of these tasks as they come, ``values`` if their results are wanted.

    An interrupt ends the waiting, never the work, and says so.
    """
    refuse_waiting_inside()
    total = size_of(spans)
    seen = 0
    try:
        for row in core.waiting.outcomes(
            spans, lanes, timeout=timeout, tick=tick, late=partial(late, core), stop=stop, values=values
        ):
            seen += 1
            yield row
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped waiting; {seen:,} of {total:,} tasks have ended{going_on(core, spans)}"
        ) from None


def going_on(core: Core, spans: Sequence[Span]) -> str:
    """The end of a sentence to whoever stops waiting for these tasks: what becomes of the rest."""
    if not core.local.slots or not spans:
        return " and the rest go on (cancel() stops them)"
    batch = batch_of(spans[0][0])
    later = "q.resume()" if batch is None else f"q.batch({batch})"
    return (
        " and the rest go on while this process lives; after that goque worker, or a notebook with "
        f"{later}, takes them up (cancel() stops them)"
    )


def in_order(
    core: Core,
    spans: Sequence[Span],
    lanes: Callable[[], Iterable[int]],
    python: str | None,
    *,
    errors: ErrorPolicy = "raise",
    timeout: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Any]:
    """Values in the order of the ids, each as soon as those before it have come."""
    if errors not in ("raise", "return", "skip"):
        raise InvalidInput(f"errors must be 'raise', 'return' or 'skip', not {errors!r}")
    waiting = ids_of(spans)
    early: dict[int, OutcomeRow] = {}
    expected = next(waiting, None)
    for row in as_they_come(core, spans, lanes, timeout=timeout, tick=tick, values=True):
        early[row.id] = row
        while expected is not None and expected in early:
            value, error = ended(core, early.pop(expected), python)[1:]
            if error is None:
                yield value
            elif errors == "return":
                yield error
            elif errors == "raise":
                raise error
            expected = next(waiting, None)


class Deadline:
    """A timeout that several waits share. Seconds; None is no limit."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float | None:
        """Seconds that are left, 0 at least."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

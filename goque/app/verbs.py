"""Cancel and retry, of one task or a million, in small steps. Not for: the statements (``queries``)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from goque.app.core import Core
from goque.client.spans import Span, ids_of, steps
from goque.client.units import Unit
from goque.model.identity import task_id
from goque.model.states import Status
from goque.queries import duplicates, reading
from goque.queries.cancel import STEP, cancel_range, close_lanes, unfinished_in
from goque.queries.moments import Word
from goque.queries.retry import Skip, retryable
from goque.queries.retry import retry as retry_statement

STOPPING_S = 5.0
"""Seconds that a retry waits for canceled code to stop."""
PASSES = 50


@dataclass(frozen=True, slots=True, repr=False)
class Changed:
    """What a bulk verb did: how many tasks it changed, and how many it left alone, by reason."""

    changed: int
    skipped: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.changed > 0

    def __str__(self) -> str:
        return "; ".join(
            [f"{self.changed:,} changed", *(f"{number:,} skipped: {reason}" for reason, number in self.skipped.items())]
        )

    __repr__ = __str__


def cancel(unit: Unit, spans: Sequence[Span], reason: str | None) -> Changed:
    """Cancel tasks: each is canceled when this returns, unless it had ended before its turn came."""
    changed = 0
    for first, last in steps(spans, STEP * 10):
        changed += _cancel_range(unit, first, last, reason)
    unit.waker.say(Word.STOP)
    total = sum(last - first + 1 for first, last in spans)
    return Changed(changed, {"already final": total - changed} if total > changed else {})


def _cancel_range(unit: Unit, first: int, last: int, reason: str | None) -> int:
    """Rows that somebody has locked are skipped and come again, until none is left."""
    database, changed = unit.database, 0
    for attempt in range(PASSES):
        while ids := database.all(cancel_range(first, last, reason, owner=unit.owner)):
            changed += len(ids)
            database.drain(duplicates.share(ids), duplicates.STEP)
        if not database.first(unfinished_in(first, last)):
            break
        time.sleep(min(0.02 * 2**attempt, 0.5))
    return changed


def cancel_batch(unit: Unit, batch: int, total: int, reason: str | None) -> Changed:
    """Cancel a whole batch: nothing of it is claimed from now on."""
    unit.database.run(close_lanes(batch, reason, owner=unit.owner))
    return cancel(unit, [(task_id(batch, 0), task_id(batch, total) - 1)] if total else [], reason)


def retry(
    unit: Unit,
    spans: Sequence[Span],
    *,
    reset: bool,
    force: bool,
    lane: Callable[[], int | None] = lambda: None,
    max_attempts: int | None = None,
) -> Changed:
    """Make failed and canceled tasks ready again (``force``: done ones too)."""
    changed, skipped = 0, Counter[str]()
    chosen: list[int | None] = []
    for first, last in steps(spans, STEP):
        ids = unit.database.all(retryable(first, last, force=force))
        if not ids:
            continue
        if not chosen:
            chosen.append(lane())
        done, left = _retry_some(unit, ids, reset=reset, force=force, lane=chosen[0], max_attempts=max_attempts)
        changed += done
        skipped.update(left)
    total = sum(last - first + 1 for first, last in spans)
    if rest := total - changed - sum(skipped.values()):
        skipped["neither failed nor canceled"] = rest
    if changed:
        unit.waker.say(Word.WORK)
    return Changed(changed, dict(skipped))


def _retry_some(
    unit: Unit, ids: Sequence[int], *, reset: bool, force: bool, lane: int | None, max_attempts: int | None
) -> tuple[int, Counter[str]]:
    """One step; tasks whose canceled code still runs are waited for, but not while the application's locks are held."""
    changed, skipped = 0, Counter[str]()
    end = time.monotonic() + (STOPPING_S if unit.commit is None else 0.0)
    left: Sequence[int] = ids
    while left:
        statement = retry_statement(
            left, reset=reset, force=force, lane=lane, max_attempts=max_attempts, owner=unit.owner
        )
        rows = unit.database.all(statement)
        changed += sum(row.skipped is None for row in rows)
        stopping = [row.id for row in rows if row.skipped == Skip.STOPPING and row.before is Status.CANCELED]
        skipped.update(row.skipped for row in rows if row.skipped is not None and row.id not in set(stopping))
        if not stopping or time.monotonic() >= end:
            skipped.update([Skip.STOPPING] * len(stopping))
            break
        left = stopping
        time.sleep(0.1)
    return changed, skipped


def statuses(core: Core, spans: Iterable[Span]) -> dict[Status, int]:
    """How many of these tasks stand in each status."""
    counts: Counter[Status] = Counter()
    for span in steps(spans, 10_000):
        counts.update(dict(core.database.all(reading.counts_of(list(ids_of([span]))))))
    return dict(counts)

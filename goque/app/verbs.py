"""Cancel, retry and delete, of one task or a million, in small steps. Not for: the statements (``queries``)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from goque.app.core import Core
from goque.client.spans import Span, ids_of, pieces, size_of, steps
from goque.client.units import Unit
from goque.errors import InUse, NotFound
from goque.maintenance import cleaner
from goque.model.identity import task_id
from goque.model.states import Status
from goque.model.wording import number_of
from goque.postgres.verbs import Verbs
from goque.queries import duplicates, reading
from goque.queries.cancel import STEP, cancel_within, close_lanes, unfinished_within
from goque.queries.deleting import Needs
from goque.queries.moments import Word
from goque.queries.retry import Skip, keep_lanes, retryable
from goque.queries.retry import retry as retry_statement

STOPPING_S = 5.0
"""Seconds that a retry waits for canceled code to stop."""
PASSES = 50
NOT_THERE = "there is no such task"


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

    def __add__(self, other: Changed) -> Changed:
        return Changed(self.changed + other.changed, dict(Counter(self.skipped) + Counter(other.skipped)))


def cancel(unit: Unit, spans: Sequence[Span], reason: str | None) -> Changed:
    """Cancel tasks: each is canceled when this returns, unless it had ended before its turn came."""
    changed, skipped = 0, Counter[str]()
    for piece in pieces(spans, STEP * 10):
        some = _cancel_piece(unit, piece, reason)
        changed += some
        skipped += _left_alone(unit.database, piece, some, "already final")
    unit.waker.say(Word.STOP)
    return Changed(changed, dict(skipped))


def _left_alone(database: Verbs, piece: Sequence[Span], touched: int, why: str) -> Counter[str]:
    """How many tasks of a step were as they should be, and how many there are not."""
    size = size_of(piece)
    if touched >= size:
        return Counter()
    there = sum(number for _, number in database.seen(reading.counts_of(list(ids_of(piece)))))
    return +Counter({why: there - touched, NOT_THERE: size - there})


def _cancel_piece(unit: Unit, piece: Sequence[Span], reason: str | None) -> int:
    """Rows that somebody has locked are skipped and come again, until none is left."""
    database, changed = unit.database, 0
    for attempt in range(PASSES):
        while ids := database.all(cancel_within(piece, reason, owner=unit.owner)):
            changed += len(ids)
            database.drain(duplicates.share(ids), duplicates.STEP)
        if not database.first(unfinished_within(piece)):
            break
        time.sleep(min(0.02 * 2**attempt, 0.5))
    return changed


def cancel_batch(unit: Unit, batch: int, total: int, reason: str | None) -> Changed:
    """Cancel a whole batch: nothing of it is claimed from now on."""
    unit.database.run(close_lanes(batch, reason, owner=unit.owner))
    return cancel(unit, [(task_id(batch, 0), task_id(batch, total) - 1)] if total else [], reason)


def delete_batch(unit: Unit, batch: int, total: int, *, force: bool) -> int:
    """Remove a batch with all that is its own, in steps; how many tasks there were. ``force`` cancels it first.

    Raises:
        InUse: it is unfinished, its code does not stop, or something else needs it.
        NotFound: it is gone already.
    """
    if force:
        cancel_batch(unit, batch, total, "its batch was deleted")
    end = time.monotonic() + STOPPING_S
    while not cleaner.delete_batch(unit.database, batch, partial(_may_go, batch)):
        if unit.database.first(reading.batch_by_id(batch)) is None:
            raise NotFound(f"batch {batch} is not there any more")
        if time.monotonic() >= end:
            raise InUse(f"code of batch {batch} is still stopping, or a transaction holds it; delete it again later")
        time.sleep(0.05)
    return cleaner.delete_tasks(unit.database, batch, total)


def _may_go(batch: int, needs: Needs) -> bool:
    if needs.unfinished:
        raise InUse(
            f"{number_of(needs.unfinished, 'task')} of batch {batch} "
            f"{'is' if needs.unfinished == 1 else 'are'} unfinished; delete(force=True) cancels first"
        )
    if needs.followed:
        raise InUse(
            f"tasks elsewhere share outcomes of batch {batch} by their external ids; delete those batches first"
        )
    return not needs.stopping


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
    for piece in pieces(spans, STEP):
        done, left = 0, Counter[str]()
        if ids := unit.database.all(retryable(piece, force=force)):
            if not chosen:
                chosen.append(lane())
            done, left = _retry_some(unit, ids, reset=reset, force=force, lane=chosen[0], max_attempts=max_attempts)
        changed += done
        skipped += left + _left_alone(unit.database, piece, done + left.total(), "neither failed nor canceled")
    if changed:
        unit.waker.say(Word.WORK)
    return Changed(changed, dict(skipped))


def _retry_some(
    unit: Unit, ids: Sequence[int], *, reset: bool, force: bool, lane: int | None, max_attempts: int | None
) -> tuple[int, Counter[str]]:
    """One step; tasks whose canceled code still runs are waited for, but not while the application's locks are held."""
    changed, skipped = 0, Counter[str]()
    if lane is not None:
        unit.database.run(keep_lanes(ids))
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

"""Removes what is past its retention. Not for: deciding that (the statements do), or what lost workers left.

A batch goes whole: first it and its lanes in one transaction, from which on nobody sees its tasks, with a note that
these are to go, and then the tasks in steps. Whoever cleans next goes on with a note that it finds.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from goque.model.events import Events, TasksCleaned
from goque.model.identity import task_id
from goque.postgres.verbs import Verbs
from goque.queries import cleaning, deleting, objects, retention
from goque.queries.deleting import Needs, Old
from goque.service import Service
from goque.sql import Statement

BREATH = 0.001
"""Seconds between two steps, for others who wait for the same connection."""
REST = 1.0
"""Seconds that a worker's cleaner rests for each second of a step: who works meanwhile feels little of it."""


class Pace:
    """Steps, and how long to rest between them."""

    def __init__(self, stopping: threading.Event | None = None, rest: float = 0.0) -> None:
        self._stopping = stopping or threading.Event()
        self._rest = rest
        self._began = time.monotonic()

    def stopped(self) -> bool:
        """Rest after a step; whether there is to be no other."""
        worked = time.monotonic() - self._began
        stopped = self._stopping.wait(max(BREATH, self._rest * worked))
        self._began = time.monotonic()
        return stopped


class Cleaner(Service):
    """One worker at a time goes through everything, every ten minutes; what one left is found by the next."""

    def __init__(self, database: Verbs, *, interval: float = 600.0, events: Events | None = None) -> None:
        super().__init__("cleaner", interval=interval, jitter=0.3)
        self._database = database
        self._events = events or Events()

    def run_once(self) -> float | None:
        # Less than the shortest pause, so that a single worker never misses its own turn.
        if self._database.first(cleaning.take_turn(self.interval / 2)) is None:
            return None
        gone = Round(self._database, pace=Pace(self.stopping, REST)).clean()
        if gone:
            self._events.emit(TasksCleaned(gone))
        return None


class Round:
    """One pass over everything, or over one queue, in steps that hold few rows for a short time."""

    def __init__(self, database: Verbs, *, queue: str | None = None, pace: Pace | None = None) -> None:
        self._database = database
        self._queue = queue
        self._pace = pace or Pace()

    def clean(self) -> Counter[str]:
        """Remove what may go; how many batches, tasks, lanes, functions, objects and workers."""
        gone = Counter[str]()
        gone["tasks"] += self._finish_deleted()
        shortest = self._database.one(retention.shortest())
        needed: list[Old] = []
        for old in self._due_batches(shortest.batches):
            if delete_batch(self._database, old.id, may=is_idle):
                gone["batches"] += 1
                gone["tasks"] += self._finish_deleted()
            else:
                needed.append(old)
        along = self._only_by_each_other(needed)
        gone["batches"] += sum(delete_batch(self._database, batch, may=is_idle, along=along) for batch in along)
        gone["tasks"] += self._finish_deleted() if along else 0
        for after, last in self._pages(shortest.singles):
            gone["tasks"] += self._delete_singles(after, last)
        if self._queue is None:
            gone["lanes"] += self._repeated(cleaning.delete_lanes)
            gone["functions"] += self._repeated(cleaning.delete_functions)
            gone["objects"] += self._repeated(objects.forget_unused)
            gone["workers"] += self._repeated(cleaning.delete_workers)
            self._repeated(cleaning.delete_stray_counts)
        return +gone

    def count(self) -> Counter[str]:
        """How many batches and tasks are past their retention; those that something needs would stay."""
        due = Counter[str]()
        shortest = self._database.one(retention.shortest())
        for old in self._due_batches(shortest.batches):
            due["batches"] += 1
            due["tasks"] += old.total
        for after, last in self._pages(shortest.singles):
            due["tasks"] += self._database.one(cleaning.count_old_singles(after, last, self._queue))
        return +due

    def _due_batches(self, youngest: float) -> Iterator[Old]:
        """The batches that are past their retention; none that are younger than any retention are looked at."""
        after = 0
        while page := sorted(self._database.all(deleting.batches(after, self._queue))):
            for old in page:
                if self._pace.stopped():
                    return
                if old.due:
                    yield old
            if min(old.age for old in page) < youngest:
                return
            after = page[-1].id

    def _only_by_each_other(self, needed: list[Old]) -> frozenset[int]:
        """Of these batches, those whose outcomes are shared by none but these."""
        followers = {old.id: set(self._database.all(deleting.followers(old.id, old.total))) for old in needed}
        along = frozenset(followers)
        while others := {batch for batch in along if not followers[batch] <= along}:
            along -= others
        return along

    def _pages(self, youngest: float) -> Iterator[tuple[int, int]]:
        """The single tasks in pages, up to where all are younger than any retention."""
        after = 0
        while not self._pace.stopped():
            page = self._database.one(cleaning.page(after))
            if page.last is None or page.age is None or page.age < youngest:
                return
            yield after, page.last
            after = page.last

    def _delete_singles(self, after: int, last: int) -> int:
        with self._database.transaction("cleaning") as transaction:
            ids = transaction.all(cleaning.lock_old_singles(after, last, self._queue))
            return transaction.one(cleaning.delete_singles(ids)) if ids else 0

    def _finish_deleted(self) -> int:
        """Remove the tasks of batches that are gone; what somebody's transaction holds is left for the next round."""
        return sum(
            delete_tasks(self._database, batch, total, self._pace)
            for batch, total in self._database.all(deleting.deleted())
        )

    def _repeated(self, step: Callable[[], Statement[Any]]) -> int:
        number = 0
        while not self._pace.stopped() and (some := self._database.run(step())):
            number += some
        return number


def is_idle(needs: Needs) -> bool:
    """Whether nothing keeps a batch."""
    return not (needs.unfinished or needs.stopping or needs.followed)


def delete_batch(
    database: Verbs, batch: int, may: Callable[[Needs], bool], along: frozenset[int] = frozenset()
) -> bool:
    """Let a batch be gone, if what it is needed for lets it; its tasks are still to be removed. Whether it is.

    That batches share its outcomes which go ``along`` with it does not keep it.
    """
    with database.transaction("deleting a batch") as transaction:
        total = transaction.first(deleting.lock_batch(batch))
        if total is None:
            return False
        lanes = transaction.all(deleting.lock_lanes(batch))
        needs = transaction.one(deleting.needs(batch, total))
        if along and needs.followed:
            followers: list[int] = transaction.all(deleting.followers(batch, total))
            needs = needs._replace(followed=not along.issuperset(followers))
        if len(lanes) < needs.lanes or not may(needs):
            return False
        return transaction.first(deleting.delete_batch(batch)) is not None


def delete_tasks(database: Verbs, batch: int, total: int, pace: Pace | None = None) -> int:
    """Remove the tasks of a batch that is gone, and the note of it with the last one; how many there were."""
    pace = pace or Pace()
    number = 0
    for first in range(task_id(batch, 0), task_id(batch, total), cleaning.STEP):
        if pace.stopped():
            return number
        last = min(first + cleaning.STEP, task_id(batch, total)) - 1
        number += database.one(deleting.delete_range(first, last))
    database.run(deleting.forget(batch, total))
    return number

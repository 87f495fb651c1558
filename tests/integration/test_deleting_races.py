"""A batch is deleted while others claim, end, cancel, retry, heal and delete its tasks: it goes whole, or stays whole.

As in ``test_interleavings`` all begin at one moment, on connections of their own.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from goque.maintenance import cleaner
from goque.postgres.database import Database, Dedicated
from goque.queries import cancel, cleaning, deleting, duplicates, retry, upkeep
from tests.rig import BATCH, Rig, at_once

ROUNDS, TASKS = 40, 6
LEFT = ("task", "run", "lane", "tally", "external_id", "dependency", "deleted_batch")


class Race:
    """A batch of some tasks that has nearly ended, and those who meddle with it."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.random = random.Random(seed)
        self.people: list[Dedicated] = [rig.database.dedicated("free") for _ in range(7)]
        self.workers = [rig.worker() for _ in range(2)]
        self.retried: set[int] = set()
        """Tasks of which somebody was told that they run again."""

    def round(self) -> str:
        """What became of the batch: deleted, or there."""
        self.retried.clear()
        self.rig.batch(TASKS)
        self.lane = self.rig.lane()
        ids = self.rig.tasks(self.lane, TASKS)
        worker, thief = self.workers
        held = worker.claim(self.lane, TASKS)
        late = self.random.sample(held, self.random.choice([0, 0, 1, 3]))
        early = [one for one in held if one not in late]
        worker.fail(*early[:2], delay=0.0)
        self.rig.cancel(*(one.id for one in early[:2]))
        worker.succeed(*early[2:])

        def end() -> None:
            for one in late:
                if not getattr(worker, self.random.choice(["succeed", "fail", "hand_back", "stop"]))(one):
                    worker.settle(one)
                worker.share(one.id)

        cancels = self.random.random() < 0.3
        acts = [end, lambda: thief.claim(self.lane, 2), *self.peoples_acts(ids, cancels=cancels)]
        at_once(acts)
        for person in self.people[:2]:
            finish_deleted(person)
        self.rig.database.run(cleaning.delete_stray_counts())
        there = bool(self.rig.ask("select id from goque.batch"))
        if there:
            assert len(self.rig.rows()) == TASKS
            assert self.rig.broken() == []
            self.remove(ids)
        elif not cancels:
            assert not self.retried, "deleted, though somebody was told that it runs again"
        assert {table: rows for table in LEFT if (rows := self.rig.ask(f"select * from goque.{table}"))} == {}
        return "there" if there else "deleted"

    def peoples_acts(self, ids: list[int], *, cancels: bool) -> list[Callable[[], Any]]:
        one, two, three, four, five, six, seven = self.people
        some = self.random.sample(ids, 2)
        acts: list[Callable[[], Any]] = [
            lambda: delete(one),
            lambda: delete(two),
            lambda: finish_deleted(three),
            lambda: five.all(upkeep.heal()) and five.run(upkeep.forget_claims()),
            lambda: six.run(upkeep.fold(crowd=1)),
            lambda: seven.all(upkeep.promote()),
        ]
        if cancels:
            acts.append(lambda: cancel_and_delete(four, ids))
        elif self.random.random() < 0.7:
            acts.append(lambda: self.retry(four, some))
        return self.random.sample(acts, len(acts))

    def retry(self, person: Dedicated, ids: list[int]) -> None:
        rows = person.all(retry.retry(ids, force=True))
        self.retried.update(row.id for row in rows if row.skipped is None)

    def remove(self, ids: list[int]) -> None:
        """What was not deleted ends, and then goes."""
        self.rig.cancel(*ids)
        for worker in self.workers:
            self.rig.lose(worker.id)
            worker.connection.close()
        self.workers = [self.rig.worker() for _ in range(2)]
        while self.rig.heal():
            pass
        assert delete(self.people[0])
        finish_deleted(self.people[0])
        self.rig.database.run(cleaning.delete_stray_counts())

    def close(self) -> None:
        for connection in (*self.people, *(worker.connection for worker in self.workers)):
            connection.close()


def delete(person: Dedicated) -> bool:
    """As the cleaner does, but for the age."""
    gone = cleaner.delete_batch(person, BATCH, cleaner.is_idle)
    if gone:
        cleaner.delete_tasks(person, BATCH, TASKS)
    return gone


def cancel_and_delete(person: Dedicated, ids: list[int]) -> None:
    """As ``Batch.delete(force=True)`` does once."""
    person.run(cancel.close_lanes(BATCH, None))
    person.run(duplicates.share(person.all(cancel.cancel_within([(ids[0], ids[-1])], None))))
    delete(person)


def finish_deleted(person: Dedicated) -> None:
    """As whoever cleans next does."""
    for batch, total in person.all(deleting.deleted()):
        cleaner.delete_tasks(person, batch, total)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 40))])
def test_a_batch_goes_whole_or_stays_whole_whoever_meddles(database: Database, seed: int) -> None:
    race = Race(Rig(database), seed)
    try:
        became = Counter(race.round() for _ in range(ROUNDS))
    finally:
        race.close()
    assert set(became) == {"deleted", "there"}

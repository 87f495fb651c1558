"""Claims, outcomes, cancels, retries, expiries and heals raced on the same rows over real connections, very often.

Each round starts some of them at one moment on rows in every state. What must hold is looked at when all have ended:
no deadlock, no outcome written twice, no task that nobody will end, and counts that are those of the rows.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from goque.maintenance.healer import Healer
from goque.model.states import RunOutcome, Status
from goque.postgres.database import Database, Dedicated
from goque.queries import cancel, duplicates, finish, handback, pause, reports, retry, upkeep
from goque.queries.claim import Claimed
from goque.sql import Statement
from tests.rig import BATCH, Rig, Worker, at_once

ROUNDS = 60
TASKS = 12
SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 40))]


class Race:
    """Workers that hold some of the tasks, and people who meddle with all of them."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.random = random.Random(seed)
        self.lane = rig.lane()
        self.workers = [rig.worker() for _ in range(3)]
        self.people: list[Dedicated] = [rig.database.dedicated("free") for _ in range(4)]
        self.finished: Counter[tuple[int, int]] = Counter()
        self.place = 0

    def close(self) -> None:
        for one in (*(worker.connection for worker in self.workers), *self.people):
            one.close()

    def round(self) -> None:
        ids = self.rig.tasks(self.lane, TASKS, first=self.place, expires=self.random.choice([None, 0.0]))
        for place in range(2):
            self.rig.follower(self.lane, ids[place], self.place + TASKS + place)
        self.place += TASKS + 2
        held = [worker.claim(self.lane, 4) for worker in self.workers]
        for worker, tasks in zip(self.workers, held, strict=True):
            worker.start(*self.random.sample(tasks, min(2, len(tasks))))
        loser = self.random.randrange(3)
        if self.random.random() < 0.5:
            self.rig.lose(self.workers[loser].id)
        acts = [self.worker_acts(worker, tasks) for worker, tasks in zip(self.workers, held, strict=True)]
        acts += self.random.sample(self.peoples_acts(ids), 4)
        at_once(acts)
        self.workers[loser].connection.close()
        self.rig.lose(self.workers[loser].id)
        self.workers[loser] = self.rig.worker()
        self.rest()

    def worker_acts(self, worker: Worker, tasks: list[Claimed]) -> Callable[[], None]:
        """Some outcome for each task, in an order of its own, then what is done about those that did not match."""
        steps: list[tuple[str, list[Claimed]]] = []
        for task in self.random.sample(tasks, len(tasks)):
            steps.append((self.random.choice(["succeed", "succeed", "fail", "hand_back", "stop", "snooze"]), [task]))
        if self.random.random() < 0.5:
            steps = [("succeed", tasks)]
        if self.random.random() < 0.5:
            steps = [("start", tasks), ("tell", tasks), *steps]

        def act() -> None:
            for verb, some in steps:
                if verb == "tell":
                    news = [reports.Report(task.id, task.run, {"done": 1.0}, b"kept", "so far") for task in some]
                    worker.connection.run(reports.report(worker.id, news))
                    continue
                matched = list(getattr(worker, verb)(*some))
                if verb == "start":
                    continue
                if verb == "succeed":
                    self.finished.update((task.id, task.run) for task in some if task.id in matched)
                worker.share(*matched)
                left = [task for task in some if task.id not in matched]
                worker.settle(*left)
            worker.claim(self.lane, 3)

        return act

    def peoples_acts(self, ids: list[int]) -> list[Callable[[], Any]]:
        one, two, three, four = self.people
        some, paused = self.random.sample(ids, 5), self.random.random() < 0.5
        return [
            lambda: one.run(duplicates.share(one.all(cancel.cancel_tasks(some, "a person")))),
            lambda: two.run(duplicates.share(two.all(cancel.cancel_within([(ids[0], ids[-1] + 2)], "all", limit=7)))),
            lambda: three.all(retry.retry(ids, force=True)),
            lambda: one.all(retry.retry(some, reset=False)),
            lambda: two.all(upkeep.heal()),
            lambda: four.all(upkeep.heal(claims=1)),
            lambda: four.run(upkeep.forget_claims()),
            lambda: three.all(upkeep.promote()),
            lambda: four.run(duplicates.share(four.all(cancel.expire(limit=5)))),
            lambda: four.run(pause.pause_batch(BATCH, paused)),
            lambda: one.run(upkeep.fold(crowd=1)),
            lambda: two.run(upkeep.fold(crowd=1)),
        ]

    def rest(self) -> None:
        """What nobody fights over: lost workers are healed, and the living let go of what they hold."""
        self.people[0].run(pause.pause_batch(BATCH, False))
        for worker in self.workers:
            for id, run, canceled in worker.connection.all(workers_hold(worker)):
                if canceled:
                    end = finish.End(id, run, Status.CANCELED, RunOutcome.CANCELED)
                    worker.connection.run(finish.settle(worker.id, [end]))
                else:
                    worker.connection.run(handback.hand_back(worker.id, [(id, run)]))
        Healer(self.rig.database).run_once()


def after(barrier: Barrier, connection: Dedicated, statement: Statement[Any]) -> list[Any]:
    barrier.wait(10)
    return connection.all(statement)


def workers_hold(worker: Worker) -> Any:
    from goque.queries import workers

    return workers.held_by(worker.id)


@pytest.fixture
def race(database: Database, request: pytest.FixtureRequest) -> Iterator[Race]:
    made = Race(Rig(database), request.param)
    yield made
    made.close()


@pytest.mark.parametrize("race", SEEDS, indirect=True, ids=lambda seed: f"seed {seed}")
def test_no_race_breaks_a_queue(race: Race) -> None:
    for number in range(ROUNDS):
        race.round()
        if number % 10 == 9:
            assert race.rig.broken() == []
    assert race.rig.broken() == []
    assert race.finished
    assert max(race.finished.values()) == 1
    held = "select * from goque.task where seq < 0 and status <> 'done'"
    assert race.rig.ask(held) == []


def test_a_task_that_all_want_to_end_ends_once(database: Database) -> None:
    rig = Rig(database)
    lane, worker = rig.lane(), rig.worker()
    twin = rig.database.dedicated("pinned")
    person = rig.database.dedicated("free")
    for place in range(60):
        [id] = rig.tasks(lane, 1, first=place)
        [task] = worker.claim(lane)
        barrier = Barrier(3)
        success = finish.succeed(worker.id, [finish.Success(id, task.run, b"", 0.0, 0.1, 0.1, 1.0, None)])
        with ThreadPoolExecutor(3) as threads:
            acts = [
                threads.submit(after, barrier, worker.connection, success),
                threads.submit(after, barrier, twin, success),  # a worker that repeats itself after a lost answer
                threads.submit(after, barrier, person, cancel.cancel_tasks([id], None)),
            ]
            ended = [found for act in acts for found in act.result(30)]
        if not ended:  # each met the row while another had it, and the one that had it looked no further
            ended = rig.cancel(id)
        assert ended == [id]
        assert rig.row(id).run == 1
    assert rig.broken() == []
    for connection in (twin, person, worker.connection):
        connection.close()

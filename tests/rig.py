"""A queue without workers: tasks, claims and outcomes by the package's own statements, and what must always hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from goque.model.eligibility import EVERY_QUEUE
from goque.model.identity import task_id
from goque.model.states import RunOutcome, Status
from goque.postgres.database import Database, Dedicated
from goque.queries import cancel, claim, duplicates, enqueue, finish, handback, programs, retry, upkeep, workers
from goque.queries.claim import Claimed
from goque.queries.finish import End, Success
from tests import moves

BATCH = 5_000

_BROKEN = {
    "a tally that differs from the rows": """
        select lane_id, status, sum(n) from (
            select lane_id, status, -count(*) n from goque.task group by 1, 2
            union all
            select lane_id, c.status, sum(c.n) from goque.tally, lateral (values ('new', new), ('pending', pending),
                ('processing', processing), ('done', done), ('error', error), ('attempts_left', attempts_left),
                ('canceled', canceled)) c(status, n) group by 1, 2
        ) both_sides group by 1, 2 having sum(n) <> 0""",
    "more attempts than allowed": "select id, attempts from goque.task where attempts > max_attempts",
    "a held task that no claim of its worker names": """
        select id, worker_id from goque.task t where seq < 0 and status <> 'done'
        and not exists (select from goque.claim c where c.worker_id = t.worker_id and t.id = any(c.task_ids))""",
    "a held task without a worker": "select id from goque.task where seq < 0 and worker_id is null",
    "an unfinished task that nothing will bring to its end": """
        select id, status from goque.task t where status in ('new', 'error', 'pending', 'processing')
        and seq is null and run_at is null and not exists (select from goque.dependency where dependant_id = t.id)""",
    "a final task with something to come": """
        select id from goque.task where status in ('attempts_left', 'done', 'canceled')
        and (seq > 0 or run_at is not null)""",
}


class Row(NamedTuple):
    """What tests ask of a task."""

    id: int
    status: str
    run: int
    attempts: int
    max_attempts: int
    losses: int
    handbacks: int
    seq: int | None
    worker_id: int | None
    reason: str | None
    result: bytes | None


class Rig:
    """The statements of a queue, on connections planned as a worker's and as a client's."""

    def __init__(self, database: Database) -> None:
        self.database = database
        moves.guard(database.dsn)
        self.kept: psycopg.Connection[Any] | None = None
        """An open connection to ask on, where a new one for each question would take too long."""

    # Making

    def lane(self, name: str = "lane", *, batch: int | None = BATCH, queue: str = "default", priority: int = 0) -> int:
        return self.database.one(
            programs.lane(
                programs.NewLane(
                    digest=name,
                    batch_id=batch,
                    queue=queue,
                    priority=priority,
                    type="f",
                    function_id=1,
                    python=None,
                    tags=(),
                    key_ids=(),
                    seal=None,
                    policy=None,
                    max_attempts=3,
                    timeout_s=None,
                    keep_s=None,
                    cwd=None,
                    owner="me",
                )
            )
        )

    def batch(self, total: int) -> None:
        self.database.one(
            enqueue.batch(
                id=BATCH,
                owner="me",
                name=None,
                total=total,
                type="f",
                kwargs=None,
                sameness=[],
                environment={},
                metadata=None,
                keep_s=None,
            )
        )

    def tasks(self, lane: int, number: int, *, first: int = 0, **fields: Any) -> list[int]:
        """Tasks of the batch from position ``first`` on; their ids."""
        ids = [task_id(BATCH, first + place) for place in range(number)]
        given: dict[str, Any] = {"args": b"arguments", "max_attempts": 3} | fields
        self.database.all(enqueue.singles([enqueue.Single(id=id, lane=lane, **given) for id in ids]))
        return ids

    def follower(self, lane: int, of: int, place: int) -> int:
        """A task that shares the outcome of another."""
        id = task_id(BATCH, place)
        with psycopg.connect(self.database.dsn) as connection:
            connection.execute(
                "insert into goque.task (id, lane_id, status, same_as) values (%s, %s, 'pending', %s)", (id, lane, of)
            )
            connection.execute("insert into goque.dependency (input_id, dependant_id) values (%s, %s)", (of, id))
            connection.execute("insert into goque.tally (lane_id, pending) values (%s, 1)", (lane,))
        return id

    def worker(self) -> Worker:
        return Worker(self)

    # Asking

    @contextmanager
    def _asking(self) -> Iterator[psycopg.Connection[Any]]:
        if self.kept is not None:
            yield self.kept
            return
        with psycopg.connect(self.database.dsn) as connection:
            yield connection

    def rows(self, ids: Iterable[int] | None = None) -> dict[int, Row]:
        where = "" if ids is None else " where id = any(%(ids)s)"
        values = {} if ids is None else {"ids": list(ids)}
        fields = ", ".join(Row._fields)
        with self._asking() as connection:
            found = connection.execute(f"select {fields} from goque.task{where}".encode(), values).fetchall()
        return {row[0]: Row(*row) for row in found}

    def row(self, id: int) -> Row:
        return self.rows([id])[id]

    def runs(self, id: int) -> list[tuple[int, str, str]]:
        """Run, status and outcome of each record of a task."""
        return [(row.run, row.status, row.outcome) for row in self.ask("select * from goque.run order by run", id)]

    def ask(self, query: str, task: int | None = None) -> list[Any]:
        with self._asking() as connection, connection.cursor(row_factory=namedtuple_row) as cursor:
            rows: list[Any] = cursor.execute(query.encode()).fetchall()
        return [row for row in rows if task is None or row.task_id == task]

    def claims(self) -> int:
        return len(self.ask("select * from goque.claim"))

    def broken(self) -> list[str]:
        """What does not hold; empty when all is well."""
        found = []
        with self._asking() as connection:
            for what, query in _BROKEN.items():
                if rows := connection.execute(query.encode()).fetchmany(5):
                    found.append(f"{what}: {rows}")
        return found

    @contextmanager
    def locked(self, *ids: int) -> Iterator[psycopg.Connection[Any]]:
        """These rows locked by somebody's open transaction."""
        with psycopg.connect(self.database.dsn) as connection:
            connection.execute("select from goque.task where id = any(%s) for update", (list(ids),))
            yield connection
            connection.rollback()

    @contextmanager
    def locked_worker(self, id: int) -> Iterator[None]:
        """The row of a worker locked, as by its own heartbeat that is being written."""
        with psycopg.connect(self.database.dsn) as connection:
            connection.execute("select from goque.worker where id = %s for update", (id,))
            yield

    # What people and maintenance do

    def cancel(self, *ids: int, reason: str | None = None) -> list[int]:
        return self.database.all(cancel.cancel_tasks(ids, reason))

    def retry(self, *ids: int, **options: Any) -> dict[int, str | None]:
        """Why each was left alone; None: it runs again."""
        return {row.id: row.skipped for row in self.database.all(retry.retry(ids, **options))}

    def promote(self) -> list[int]:
        return [id for id, _ in self.database.all(upkeep.promote())]

    def heal(self) -> dict[int, Status]:
        found = dict(self.database.all(upkeep.heal()))
        self.database.run(upkeep.forget_claims())
        return found

    def lose(self, worker: int) -> None:
        """Declare a worker lost, as others do that looked for it in vain."""
        with psycopg.connect(self.database.dsn) as connection:
            connection.execute("update goque.worker set lost_at = now() where id = %s", (worker,))


class Worker:
    """One registered worker with a connection of its own; it runs nothing."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.connection: Dedicated = rig.database.dedicated("pinned")
        self._number = 0
        self.id = self.connection.one(
            workers.register(
                host="here",
                pid=1,
                python="3.11",
                prefix="/",
                version="0",
                owner="me",
                pool="process",
                slots=1,
                queues=None,
                tags=(),
                key_ids=(),
                local=False,
            )
        )

    def beat(self) -> list[int]:
        """Itself, unless it is lost, and those that are lost by its look."""
        return self.connection.alone(workers.beat(self.id, running=0, buffered=0))

    def claim(self, lane: int, want: int = 10, *, mark: int = 0) -> list[Claimed]:
        self._number += 1
        return self.connection.all(claim.claim(self.id, self._number, [(lane, mark, want)], EVERY_QUEUE))

    def start(self, *tasks: Claimed) -> dict[int, bytes | None]:
        return dict(self.connection.all(claim.start(self.id, [(task.id, task.run, 0.5) for task in tasks])))

    def succeed(self, *tasks: Claimed, result: bytes = b"result") -> list[int]:
        rows = [Success(task.id, task.run, result, 0.0, 0.1, 0.1, 10.0, None) for task in tasks]
        return self.connection.all(finish.succeed(self.id, rows))

    def end(self, *tasks: Claimed, status: Status, outcome: RunOutcome, **fields: Any) -> dict[int, Status]:
        fields = {"run_s": 0.1} | fields
        return dict(
            self.connection.all(finish.end(self.id, [End(one.id, one.run, status, outcome, **fields) for one in tasks]))
        )

    def fail(self, *tasks: Claimed, delay: float = 0.0, **fields: Any) -> dict[int, Status]:
        fields = {"error": "no", "error_type": "ValueError"} | fields
        return self.end(*tasks, status=Status.ERROR, outcome=RunOutcome.ERROR, charge=1, delay=delay, **fields)

    def snooze(self, *tasks: Claimed, delay: float = 0.0) -> dict[int, Status]:
        return self.end(*tasks, status=Status.PENDING, outcome=RunOutcome.SNOOZED, delay=delay)

    def stop(self, *tasks: Claimed) -> dict[int, Status]:
        """Hand back what had been started."""
        return self.end(*tasks, status=Status.NEW, outcome=RunOutcome.HANDED_BACK)

    def hand_back(self, *tasks: Claimed) -> list[int]:
        return self.connection.all(handback.hand_back(self.id, _runs(tasks)))

    def settle(self, *tasks: Claimed, ran: bool = True) -> list[int]:
        ends = [End(one.id, one.run, Status.CANCELED, RunOutcome.CANCELED, run_s=0.1 if ran else None) for one in tasks]
        return self.connection.all(finish.settle(self.id, ends))

    def still_holds(self, *tasks: Claimed) -> set[int]:
        return set(self.connection.all(handback.still_held(self.id, _runs(tasks))))

    def share(self, *ids: int) -> list[int]:
        return self.connection.all(duplicates.share(ids))

    def close_claims(self) -> None:
        self.connection.run(handback.close_claims(self.id, list(range(1, self._number + 1))))


def _runs(tasks: Sequence[Claimed]) -> list[tuple[int, int]]:
    return [(task.id, task.run) for task in tasks]


def at_once(acts: Sequence[Callable[[], Any]]) -> None:
    """Begin all of them at one moment, each in a thread of its own; a deadlock is an error."""
    barrier = Barrier(len(acts))

    def started(act: Callable[[], Any]) -> Any:
        barrier.wait(10)
        return act()

    with ThreadPoolExecutor(len(acts)) as threads:
        for future in [threads.submit(started, act) for act in acts]:
            future.result(30)

"""Whatever stands in the database as bytes is verified before it is unpickled: each column, forged in each way.

The columns are those that ``goque.sql.tables`` declares: a new one fails here until somebody says what it holds, and
how a forged one is refused. Forged bytes leave a mark when they are unpickled; none may.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import goque
from goque import Batch, BatchMismatch, KeyMissing, Queue, SignatureInvalid, Status, Task, TaskCanceled
from goque.payload import codec
from goque.payload.envelope import _BODY
from goque.sql import BYTEA, columns_of, tables
from goque.sql.columns import Table
from tests.integration.conftest import SECRET

COLUMNS = sorted(
    f"{table._table}.{column.name}"
    for table in vars(tables).values()
    if isinstance(table, Table)
    for column in columns_of(table)
    if column.sql_type is BYTEA
)
WAYS = ("changed", "moved", "unsigned")
"""Other bytes under the same signature; what was signed for another row; the signature taken off."""

OBJECTS = ("object.seal", "object_part.data")


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


def of(way: str, number: int) -> Callable[..., Any]:
    """A function of its own, since code is stored once per content."""

    def run(*args: Any, **shared: Any) -> Any:
        return (way, number, args, shared)

    return run


def fail(number: int) -> None:
    raise ValueError(number)


def keep(number: int) -> str:
    here = goque.context()
    if here.attempt == 1:
        here.checkpoint(("mine", number))
        raise goque.RetryAfter("1h")
    return f"restored {here.restored}"


def decide(attempt: int, error: Exception) -> float | None:
    return None


class Pair:
    """Two of everything for one way of forging: the second is forged, the first gives what is moved."""

    def __init__(self, queue: Queue, way: str) -> None:
        self.queue, self.way = queue, way
        self.done = [queue.submit(of(way, 1), number) for number in range(2)]
        self.failed = [queue.options(max_attempts=1).submit(fail, number) for number in range(2)]
        self.kept = [queue.submit(keep, number) for number in range(2)]
        self.again = [queue.submit(of(way, 2), number) for number in range(2)]

    def begin(self) -> None:
        """Results, exceptions and checkpoints are there."""
        for task in (*self.done, *self.failed, *self.again):
            task.wait(timeout=30)

    def prepare(self) -> None:
        """With no worker: what is still to be run."""
        queue, way = self.queue, self.way
        for task in self.again:
            task.retry(force=True)
        self.code = [queue.submit(of(way, 10 + number), 1) for number in range(2)]
        self.single = [queue.submit(of(way, 3), number) for number in range(2)]
        self.batch = queue.map(of(way, 4), range(2))
        self.lanes = [queue.map(of(way, 20 + number), [1]) for number in range(2)]
        self.shared = [queue.map(of(way, 5), [1], kwargs={"shared": number}) for number in range(2)]
        self.named = [queue.map(of(way, 6), [number], name=f"{way} {number}") for number in range(2)]
        self.names = [f"{way} {number}" for number in range(2)]
        for name in self.names:
            queue.put(("named", name), name=name)
        self.refs = {column: [queue.put((way, column, n)) for n in range(2)] for column in OBJECTS}
        self.given = {column: [queue.submit(of(way, 7), ref) for ref in refs] for column, refs in self.refs.items()}
        first = 10 * WAYS.index(way)  # tasks that are alike share a lane
        self.policy = [queue.options(retry=decide, priority=first + n).submit(fail, n) for n in range(2)]

    def ids(self, connection: psycopg.Connection[Any], column: str) -> list[Any]:
        """The rows of a column, by their keys."""
        if column in OBJECTS:
            return [ref.digest for ref in self.refs[column]]
        if column == "object_name.seal":
            return self.names
        lane = "select lane_id from goque.task where id = %s"
        function = f"select function_id from goque.lane where id = ({lane})"
        owner = {
            "function.code": (function, self.code),
            "lane.policy": (lane, self.policy),
            "lane.seal": (lane, [batch[0] for batch in self.lanes]),
        }
        if column in owner:
            query, tasks = owner[column]
            return [connection.execute(query.encode(), [task.id]).fetchone()[0] for task in tasks]  # type: ignore[index]
        some: dict[str, list[Task] | list[Batch]] = {
            "batch.kwargs": self.shared,
            "batch_items.digests": self.named,
            "task.args": self.single,
            "task.result": self.done,
            "task.checkpoint": self.kept,
            "run.exception": self.failed,
            "run.result": self.again,
        }
        return [one.id for one in some[column]]


KEYS = {"batch_items": "batch_id", "run": "task_id", "object": "digest", "object_part": "digest", "object_name": "name"}


def body_of(column: str, mark: Path) -> bytes:
    """What would be unpickled, had nobody looked at the signature."""
    if column in ("task.args", "batch.kwargs"):
        return codec.encode_arguments((Bomb(mark),), {})
    return codec.dumps(Bomb(mark))


@pytest.fixture
def forged(
    server_dsn: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Pair], Path]]:
    """Every column forged in every way, and all of it given to a worker."""
    from tests.conftest import _new_database

    marks = tmp_path_factory.mktemp("marks")
    with (
        _new_database(server_dsn, f"goque_forged_{os.getpid()}", template=template_database) as dsn,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("GOQUE_SECRET", SECRET)
        queue = Queue(dsn, workers=2, owner="tester")
        pairs = {way: Pair(queue, way) for way in WAYS}
        for pair in pairs.values():
            pair.begin()
        queue.close()  # ends the workers
        for pair in pairs.values():
            pair.queue = Queue(dsn, owner="tester")
            pair.prepare()
        with psycopg.connect(dsn) as connection:
            for way, pair in pairs.items():
                for column in COLUMNS:
                    forge(connection, column, pair.ids(connection, column), way, marks / f"{way} {column}")
                forge(connection, "task.args", [task.id for task in pair.batch.tasks()], way, marks / f"{way} item")
        pairs[WAYS[0]].queue.start_workers(2)
        for pair in pairs.values():
            objects = [task for tasks in pair.given.values() for task in tasks]
            for task in (*pair.code, *pair.single, *pair.policy, *pair.again, *objects):
                task.wait(timeout=30)
            for batch in (pair.batch, *pair.lanes, *pair.shared):
                batch.wait(timeout=30)
        yield pairs, marks
        for pair in pairs.values():
            pair.queue.close()
        queue.close()  # tasks that came from it were waited for once more


def forge(connection: psycopg.Connection[Any], column: str, ids: list[Any], way: str, mark: Path) -> None:
    """Forge the column in the second of two rows."""
    table, _, name = column.partition(".")
    key = KEYS.get(table, "id")
    donor, victim = ids
    read = f"select {name} from goque.{table} where {key} = %s"
    [[own], [other]] = (connection.execute(read.encode(), [id]).fetchall()[0] for id in (victim, donor))
    assert None not in (own, other), column
    assert own != other, column
    body = body_of(column, mark)
    put = {"changed": own[:_BODY] + body, "moved": other, "unsigned": b"\0" + body}[way]
    write = f"update goque.{table} set {name} = %s where {key} = %s"
    assert connection.execute(write.encode(), [put, victim]).rowcount == 1


def test_each_column_of_bytes_is_looked_at_here() -> None:
    assert sorted(REFUSALS) == COLUMNS


def test_forged_bytes_leave_a_mark_where_nobody_verifies(tmp_path: Path) -> None:
    for column in COLUMNS:
        codec.loads(body_of(column, tmp_path / column))
        assert (tmp_path / column).is_dir()


def refused(task: Task) -> None:
    with pytest.raises(TaskCanceled, match="(?i)sign"):
        task.result(timeout=30)


def code(pair: Pair) -> None:
    refused(pair.code[1])
    with pytest.raises(SignatureInvalid):
        pair.code[1].run_here()
    # Nobody signs a task for code that is not what it was.
    with Queue(pair.queue.dsn, owner="tester") as fresh, pytest.raises(SignatureInvalid, match="changed"):
        fresh.submit(of(pair.way, 11), 1)


def args(pair: Pair) -> None:
    refused(pair.single[1])
    refused(pair.batch[1])
    for task in (pair.single[1], pair.batch[1]):
        with pytest.raises(SignatureInvalid):
            _ = task.args


def kwargs(pair: Pair) -> None:
    refused(pair.shared[1][0])
    with pytest.raises(SignatureInvalid):
        pair.shared[1].inputs()
    assert len(pair.shared[1].to_frame()) == 1


def digests(pair: Pair) -> None:
    """They are compared and never unpickled: a forged one looks like other items."""
    with pytest.raises(BatchMismatch):
        pair.queue.map(of(pair.way, 6), [1], name=f"{pair.way} 1")


def seal(pair: Pair) -> None:
    refused(pair.lanes[1][0])


def policy(pair: Pair) -> None:
    refused(pair.policy[1])


def result(pair: Pair) -> None:
    task = pair.queue.task(pair.done[1].id)
    with pytest.raises(SignatureInvalid):
        task.result(timeout=30)


def checkpoint(pair: Pair) -> None:
    """Another attempt begins without it, as if there were none."""
    task = pair.queue.task(pair.kept[1].id)
    task.retry(reset=False)
    assert task.result(timeout=30) == "restored None"


def exception(pair: Pair) -> None:
    """What failed is told in words, which are data."""
    error = pair.queue.task(pair.failed[1].id).exception(timeout=30)
    assert type(error).__name__ in ("TaskFailed", "ValueError")
    assert "1" in str(error)


def earlier_result(pair: Pair) -> None:
    task = pair.queue.task(pair.again[1].id)
    assert task.result(timeout=30) == (pair.way, 2, (1,), {})
    assert (pair.queue.history(task=task.id)["outcome"] == "done").all()


def shared_object(column: str) -> Callable[[Pair], None]:
    """A worker reads it, and so does whoever has put it."""

    def check(pair: Pair) -> None:
        refused(pair.given[column][1])
        with pytest.raises(SignatureInvalid):
            pair.refs[column][1].get()
        assert pair.given[column][0].result(timeout=30) == (pair.way, 7, ((pair.way, column, 0),), {})

    return check


def object_name(pair: Pair) -> None:
    with pytest.raises(SignatureInvalid):
        pair.queue.ref(pair.names[1])
    assert pair.queue.ref(pair.names[0]).get() == ("named", pair.names[0])


REFUSALS: dict[str, Callable[[Pair], None]] = {
    "function.code": code,
    "batch.kwargs": kwargs,
    "batch_items.digests": digests,
    "lane.seal": seal,
    "lane.policy": policy,
    "object.seal": shared_object("object.seal"),
    "object_name.seal": object_name,
    "object_part.data": shared_object("object_part.data"),
    "task.args": args,
    "task.result": result,
    "task.checkpoint": checkpoint,
    "run.exception": exception,
    "run.result": earlier_result,
}


def test_forged_bytes_are_refused(forged: tuple[dict[str, Pair], Path]) -> None:
    pairs, marks = forged
    for way, pair in pairs.items():
        for column in COLUMNS:
            try:
                REFUSALS[column](pair)
            except BaseException as error:
                error.add_note(f"{column}, {way}")
                raise
            assert list(marks.iterdir()) == []
        # What was not forged is as it was.
        assert pair.code[0].result(timeout=30) == (way, 10, (1,), {})
        assert pair.single[0].result(timeout=30) == (way, 3, (0,), {})
        assert pair.batch[0].result(timeout=30) == (way, 4, (0,), {})
        assert pair.shared[0].results(timeout=30) == [(way, 5, (1,), {"shared": 0})]
        assert pair.queue.task(pair.done[0].id).result() == (way, 1, (0,), {})
        assert pair.policy[0].wait(timeout=30).status is Status.ATTEMPTS_LEFT


def test_a_single_task_cannot_be_put_under_another_function(alone: Queue) -> None:
    task, other = alone.submit(of("x", 1), 1), alone.submit(of("x", 2), 1)
    with psycopg.connect(alone.dsn) as connection:
        connection.execute(
            "update goque.task t set lane_id = o.lane_id from goque.task o where t.id = %s and o.id = %s",
            [task.id, other.id],
        )
    alone.start_workers(1)
    refused(task)
    assert other.result(timeout=30) == ("x", 2, (1,), {})


def test_an_earlier_result_of_the_same_task_is_not_taken_for_the_newest(alone: Queue) -> None:
    alone.start_workers(1)
    task = alone.submit(of("x", 1), 1)
    task.result(timeout=30)
    task.retry(force=True)
    task.wait(timeout=30)
    with psycopg.connect(alone.dsn) as connection:
        put = "update goque.task t set result = r.result from goque.run r where t.id = r.task_id"
        assert connection.execute(put).rowcount == 1
    with pytest.raises(SignatureInvalid):
        alone.task(task.id).result()


def test_a_mark_of_signing_is_not_taken_back_by_a_client_without_a_key(
    alone: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.submit(abs, 1)
    monkeypatch.delenv("GOQUE_SECRET")
    with Queue(alone.dsn, owner="tester") as stranger:
        for give in (lambda: stranger.submit(abs, 1), lambda: stranger.map(abs, [1]), lambda: stranger.batch(0)):
            with pytest.raises((KeyMissing, goque.NotFound)):
                give()
    with psycopg.connect(alone.dsn) as connection:
        row = connection.execute("select value from goque.setting where name = 'signed'").fetchone()
    assert row is not None

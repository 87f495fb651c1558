"""Work in the application's own transaction: all of it with its commit, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

from goque import DatabaseError, DuplicateTask, InvalidInput, NotCommitted, NotFound, Queue, Status, TaskCanceled
from goque.app.outbox import Outbox
from tests.integration.conftest import until

Stored = Callable[[], tuple[int, int]]
Connection = psycopg.Connection[Any]


def double(x: int) -> int:
    return 2 * x


@pytest.fixture
def theirs(alone: Queue) -> Iterator[Connection]:
    """A connection of an application, with habits of its own."""
    with closing(psycopg.connect(alone.dsn, row_factory=dict_row)) as connection:
        yield connection


@pytest.fixture
def box(alone: Queue, theirs: Connection) -> Outbox:
    return alone.using(theirs)


@pytest.fixture
def engine(alone: Queue) -> Iterator[sa.Engine]:
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(alone.dsn))
    yield engine
    engine.dispose()


def test_work_comes_with_the_commit_and_wakes_a_worker(q: Queue) -> None:
    with psycopg.connect(q.dsn) as connection:
        box = q.using(connection)
        task = box.options(priority=3).submit(double, 1)
        batch = box.map(double, [2, 3])
        named = box.map(double, [4], name="in a transaction")
        again = box.map(double, [4], name="in a transaction")
        assert (again.id, len(batch), batch[1].position) == (named.id, 2, 1)
        for ask in (task.result, lambda: task.status, batch.results, batch.counts, batch[0].result, named.wait):
            with pytest.raises(NotCommitted, match="ask again after it"):
                ask()
        with pytest.raises(NotCommitted):
            task.add_done_callback(print)
        connection.commit()
        assert (task.result(20), batch.results(timeout=20), named.results(timeout=20)) == (2, [4, 6], [8])
        # The same object goes on in the next transaction.
        assert box.submit(double, 5).id != task.id
        connection.rollback()
        failing = q.options(max_attempts=1).submit(lambda: 1 / 0)
        failing.wait(20)
        assert box.retry(failing).changed == 1
        assert failing.status is Status.ATTEMPTS_LEFT
        connection.commit()
        until(lambda: failing.done() and failing.attempts == 1, "the retried task to fail again")


def test_a_rollback_leaves_nothing_and_its_handles_say_so(box: Outbox, theirs: Connection, stored: Stored) -> None:
    task, batch, named = box.submit(double, 1), box.map(double, [1], external_id=str), box.enqueue("mail", {"to": "a"})
    theirs.rollback()
    assert stored() == (0, 0)
    for ask in (task.result, task.retry, task.cancel, batch.counts, batch[0].result, batch.cancel, named.wait):
        with pytest.raises(NotFound, match="rolled back"):
            ask()
    assert not box.options(external_id="1").submit(double, 1).is_duplicate


def test_a_savepoint_takes_back_what_was_given_in_it(box: Outbox, theirs: Connection, stored: Stored) -> None:
    kept = box.submit(double, 1)
    with theirs.transaction(force_rollback=True):
        gone = box.submit(double, 2)
        box.cancel(kept)
        with pytest.raises(NotCommitted):
            gone.result()
    theirs.commit()
    assert (stored(), kept.status) == ((0, 1), Status.NEW)
    with pytest.raises(NotFound, match="rolled back"):
        gone.result()


def test_a_duplicate_leaves_the_transaction_usable(
    alone: Queue, box: Outbox, theirs: Connection, stored: Stored
) -> None:
    there = alone.options(external_id="a").submit(double, 1)
    theirs.execute("create temporary table mine (n int)")
    assert box.options(external_id="a").submit(double, 2).id == there.id
    first = box.options(external_id="b").submit(double, 3)
    second = box.options(external_id="b").submit(double, 4)
    assert (first.is_duplicate, second.is_duplicate, second.id) == (False, True, first.id)
    with pytest.raises(NotCommitted):
        second.result()
    with pytest.raises(DuplicateTask):
        box.options(external_id="a", on_duplicate="error").submit(double, 5)
    with pytest.raises(DuplicateTask):
        box.map(double, [7, 8], external_id=lambda x: "a" if x == 8 else "c", on_duplicate="error")
    batch = box.map(double, [1, 2], external_id=lambda x: "ab"[x - 1])
    theirs.execute("insert into mine values (1)")
    theirs.commit()
    assert stored() == (1, 4)
    assert [task._row().same_as for task in batch.tasks()] == [there.id, first.id]


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_a_transaction_that_is_too_old_to_see_who_has_the_id(
    alone: Queue, box: Outbox, theirs: Connection, level: psycopg.IsolationLevel
) -> None:
    theirs.isolation_level = level
    theirs.execute("select 1 from goque.task")
    later = alone.options(external_id="a").submit(double, 1)
    batch = alone.map(double, [1], name="later")
    found = box.options(external_id="a").submit(double, 2)
    assert (found.id, found.is_duplicate) == (later.id, True)
    assert box.map(double, [1], name="later").id == batch.id
    with pytest.raises(DatabaseError, match="repeat"):
        box.map(double, ["a"], external_id=str)
    mine = box.options(external_id="b").submit(double, 2)
    theirs.commit()
    assert mine.status is Status.NEW


def test_two_transactions_that_want_one_id_wait_for_each_other(alone: Queue, box: Outbox, theirs: Connection) -> None:
    first = box.options(external_id="a").submit(double, 1)
    with psycopg.connect(alone.dsn) as connection, psycopg.connect(alone.dsn, autocommit=True) as looking:
        pid, found = connection.info.backend_pid, []
        other = threading.Thread(
            target=lambda: found.append(alone.using(connection).options(external_id="a").submit(double, 2))
        )
        other.start()
        waits = "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        until(lambda: looking.execute(waits, [pid]).fetchone(), "the second transaction to wait for the first")
        theirs.rollback()
        other.join(10)
        assert not found[0].is_duplicate
        connection.commit()
    assert found[0].status is Status.NEW
    with pytest.raises(NotFound, match="rolled back"):
        first.result()


def test_cancel_and_retry_are_part_of_it(alone: Queue, box: Outbox, theirs: Connection) -> None:
    single, batch = alone.submit(double, 1), alone.map(double, [1, 2, 3], name="mine")
    inside = box.map(double, [1])
    assert (box.cancel(single, "mine", inside, reason="no").changed, single.status) == (5, Status.NEW)
    assert box.retry(single.id, batch[:2]).changed == 3
    theirs.commit()
    assert (single.status, batch.counts()[Status.CANCELED], batch.counts()[Status.NEW]) == (Status.NEW, 1, 2)
    with pytest.raises(TaskCanceled, match="no"):
        inside[0].result()
    box.cancel(batch)
    assert box.retry(batch).changed == 3
    theirs.rollback()
    assert (batch.counts()[Status.CANCELED], batch.counts()[Status.NEW]) == (1, 2)
    assert box.cancel(5).skipped == {"there is no such task": 1}


def test_a_retry_inside_does_not_wait_for_code_that_still_runs(alone: Queue, box: Outbox, theirs: Connection) -> None:
    task = alone.submit(double, 1)
    theirs.execute("update goque.task set seq = -seq, run = 1, status = 'processing' where id = %s", [task.id])
    theirs.commit()
    task.cancel()
    assert box.retry(task).skipped == {"still stopping": 1}


def test_sqlalchemy_connections_and_sessions(alone: Queue, engine: sa.Engine, stored: Stored) -> None:
    with engine.connect() as connection:
        box = alone.using(connection)
        task = box.submit(double, 1)  # the first thing that happens in this transaction
        connection.commit()
        assert task.status is Status.NEW
        box.submit(double, 2)
        connection.rollback()
        with connection.begin(), connection.begin_nested() as savepoint:
            box.submit(double, 3)
            savepoint.rollback()
    with Session(engine) as session:
        box = alone.using(session)
        box.map(double, range(10))
        session.commit()
        box.submit(double, 4)
        session.rollback()
        with session.begin():
            box.enqueue("mail", {"to": "ann"})
    assert stored() == (1, 12)
    with engine.connect() as connection:
        box = alone.using(connection)
        with connection.begin():
            kept = box.submit(double, 5)
            with connection.begin_nested() as savepoint:
                assert box.cancel(kept, task).changed == 2
                savepoint.rollback()
            assert box.cancel(task).changed == 1
        assert (kept.status, task.status) == (Status.NEW, Status.CANCELED)
        with connection.begin():
            assert box.retry(task).changed == 1
            connection.rollback()
        assert task.status is Status.CANCELED
        with connection.begin():
            one = box.options(external_id="a").submit(double, 6)
            two = box.options(external_id="a").submit(double, 7)
            assert (two.id, two.is_duplicate) == (one.id, True)
            assert box.retry(task).changed == 1
        assert (one.status, task.status) == (Status.NEW, Status.NEW)
    assert stored() == (1, 14)
    with (
        engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection,
        pytest.raises(InvalidInput, match="autocommit"),
    ):
        alone.using(connection).submit(double, 1)


def test_what_is_no_open_transaction_is_refused_with_the_remedy(
    alone: Queue, box: Outbox, theirs: Connection, server_dsn: str, stored: Stored
) -> None:
    with pytest.raises(psycopg.Error):
        theirs.execute("select no_such_column")
    with pytest.raises(InvalidInput, match="roll it back"):
        box.submit(double, 1)
    theirs.rollback()
    with theirs.cursor().copy("copy (select 1) to stdout") as copy:
        with pytest.raises(InvalidInput, match="COPY"):
            box.submit(double, 1)
        assert len(list(copy)) == 1
    theirs.rollback()
    theirs.autocommit = True
    with pytest.raises(InvalidInput, match=r"with connection\.transaction"):
        box.submit(double, 1)
    with theirs.transaction():
        with theirs.pipeline(), pytest.raises(InvalidInput, match="pipeline"):
            box.submit(double, 1)
        box.submit(double, 1)
    assert stored() == (0, 1)
    with psycopg.connect(server_dsn) as elsewhere, pytest.raises(InvalidInput, match="not that of the queue"):
        alone.using(elsewhere).submit(double, 1)
    theirs.close()
    with pytest.raises(InvalidInput, match="closed"):
        box.submit(double, 1)
    asynchronous = object.__new__(psycopg.AsyncConnection)
    for wrong, words in ((asynchronous, "goque.enqueue"), (alone.dsn, "psycopg 3 connection"), (None, "NoneType")):
        with pytest.raises(InvalidInput, match=words):
            alone.using(wrong).submit(double, 1)

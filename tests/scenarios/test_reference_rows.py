"""What the Go system that goque takes after is tested for, asked of goque's own workers: docs/from-go-goque.md.

Two workers and one database for all of them. Where goque differs on purpose, it is goque's behaviour that is asserted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

import goque
from goque import Changed, NotFound, PayloadError, Queue, Status, TaskCanceled
from goque.model.states import RunOutcome
from goque.postgres.database import Database
from tests import moves
from tests.integration.conftest import until
from tests.rig import Rig
from tests.scenarios.conftest import Works, works

pytestmark = [pytest.mark.slow, pytest.mark.once]
WAIT = 30


@pytest.fixture(scope="module")
def served(server_dsn: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    with works(server_dsn, template_database, "rows", tmp_path_factory.mktemp("rows")) as made:
        made.serve("--concurrency", "2", "--tags", "process")
        made.serve("--concurrency", "2", "--tags", "thread", "--pool", "thread")
        made.ready()
        yield made


@pytest.fixture
def q(served: Works) -> Queue:
    return served.queue


def began(folder: Path) -> int:
    return len(list(folder.glob("began-*")))


def runs(q: Queue, task: goque.Task) -> list[tuple[Any, ...]]:
    """Outcome and error of each of its runs, in order."""
    frame = q.history(task=task.id, order_by="run", columns=["outcome", "error"])
    return [tuple(None if value != value else value for value in row) for row in frame.itertuples(index=False)]


def test_what_is_enqueued_is_done_and_its_result_can_be_read(q: Queue) -> None:
    task = q.enqueue("echo", {"n": 1})
    assert task.result(WAIT) == {"n": 1}
    assert (task.status, task.attempts) == (Status.DONE, 1)


def test_metadata_of_the_enqueuer_reach_the_code_and_numbers_stay_what_they_are(q: Queue) -> None:
    given = {"trace": "7f3a", "n": 2**60, "nested": {"list": [1, None]}}
    task = q.enqueue("metadata", metadata=given)
    assert task.result(WAIT) == given
    assert q.task(task.id).metadata == given


def test_states_are_written_in_order_and_processing_only_where_it_tells_something(q: Queue, tmp_path: Path) -> None:
    short, long = q.enqueue("echo", 1), q.enqueue("gated", str(tmp_path))
    until(lambda: long.status is Status.PROCESSING, "what goes on for long is marked as running")
    (tmp_path / "gate").touch()
    assert long.result(WAIT) == "through"
    assert moves.noted(q.dsn, long.id) == [("new", "processing"), ("processing", "done")]
    short.result(WAIT)
    assert moves.noted(q.dsn, short.id)[-1][1] == "done"


def test_a_timeout_counts_as_an_attempt_says_what_it_was_and_comes_again_when_the_policy_says(q: Queue) -> None:
    task = q.enqueue("slow")
    until(lambda: task.status is Status.ERROR, "it was stopped")
    [(outcome, error)] = runs(q, task)
    assert outcome == RunOutcome.TIMEOUT
    assert error.startswith("stopped by its timeout after 0.")
    due = task._row().run_at
    assert due is not None
    assert timedelta(seconds=30) < due - q.now() <= timedelta(minutes=1)
    assert task.attempts == 1
    task.cancel()


def test_the_last_attempt_that_fails_leaves_none_and_the_error_stays(q: Queue) -> None:
    task = q.enqueue("fails", "why not")
    assert str(task.exception(WAIT)) == "why not"
    assert (task.status, task.attempts, runs(q, task)) == (Status.ATTEMPTS_LEFT, 1, [("error", "why not")])
    assert "fails" in task.traceback


def test_code_that_cancels_its_task_is_not_tried_again_and_earlier_errors_stay(q: Queue) -> None:
    task = q.enqueue("cancels")
    with pytest.raises(TaskCanceled, match="nobody wants it"):
        task.result(WAIT)
    assert task.status is Status.CANCELED
    assert [outcome for outcome, _ in runs(q, task)] == ["error", "canceled"]
    assert runs(q, task)[0][1] == "the first time"


def test_hooks_run_once_each_around_a_task_that_is_canceled_and_see_the_end(q: Queue) -> None:
    task = q.enqueue("hooked")
    with pytest.raises(TaskCanceled, match="from inside"):
        task.result(WAIT)
    assert task.logs.split("\n")[:3] == ["before 1", "in between", "after canceled from inside"]
    assert task.logs.count("before") == task.logs.count("after") == 1


def test_a_worker_s_log_has_no_line_for_each_task(q: Queue, served: Works) -> None:
    before = served.log.read_text().count("\n")
    with q.pipeline():
        tasks = [q.enqueue("echo", number) for number in range(300)]
    goque.wait(tasks, timeout=WAIT)
    assert {task.status for task in tasks} == {Status.DONE}
    assert served.log.read_text().count("\n") - before < 30


def test_healers_that_work_at_once_heal_each_task_once(database: Database) -> None:
    rig = Rig(database)
    rig.batch(20)
    rig.tasks(rig.lane(), 20)
    victim = rig.worker()
    claimed = victim.claim(rig.ask("select id from goque.lane")[0].id, 20)
    victim.start(*claimed[:10])
    rig.lose(victim.id)
    together = threading.Barrier(5)

    def heal(_: int) -> dict[int, Status]:
        together.wait()
        return rig.heal()

    with ThreadPoolExecutor(5) as pool:
        healed = Counter(id for found in pool.map(heal, range(5)) for id in found)
    assert healed == {task.id: 1 for task in claimed}
    # What ran was charged; what was only held was not, and is ready again.
    assert Counter((row.status, row.attempts, row.losses) for row in rig.rows().values()) == {
        ("error", 1, 1): 10,
        ("new", 0, 1): 10,
    }
    assert Counter(row.outcome for row in rig.ask("select * from goque.run")) == {"lost": 10, "lost_unknown": 10}
    assert rig.broken() == []


def test_only_what_is_due_and_known_is_taken(q: Queue) -> None:
    failed = q.enqueue("fails_later")
    until(lambda: failed.status is Status.ERROR, "it has failed")
    later, unknown = q.enqueue("echo", 1, delay="1h"), q.enqueue("nobody_has_this")
    assert [q.enqueue("echo", number).result(WAIT) for number in range(3)] == [0, 1, 2]
    assert (later.status, unknown.status, failed.attempts) == (Status.PENDING, Status.NEW, 1)
    assert (later.waiting_for, unknown.waiting_for) == ("time", "type nobody_has_this")
    assert failed.retry().changed == 1  # due now
    until(lambda: len(runs(q, failed)) == 2, "it ran again")
    q.cancel(failed, later, unknown)


def test_a_task_added_in_a_transaction_stands_and_falls_with_it(q: Queue) -> None:
    enqueue = b"select goque.enqueue('echo', '5', external_id => %s)"
    with psycopg.connect(q.dsn) as connection:
        [dropped] = connection.execute(enqueue, ("rolled back",)).fetchone() or ()
        connection.rollback()
        with pytest.raises(NotFound):
            q.task(dropped)
        connection.execute("create table invoice (n int)")
        [kept] = connection.execute(enqueue, ("committed",)).fetchone() or ()
        with pytest.raises(NotFound):
            q.task(kept)
        # A duplicate is the same task, and the transaction with its own table goes on.
        assert connection.execute(enqueue, ("committed",)).fetchone() == (kept,)
        connection.execute("insert into invoice values (1)")
        connection.commit()
        assert q.task(kept).result(WAIT) == 5
        assert connection.execute(enqueue, ("committed",)).fetchone() == (kept,)
        assert connection.execute("select count(*) from invoice").fetchone() == (1,)
        connection.commit()


def test_a_failed_task_that_is_reset_begins_anew_and_keeps_its_history(q: Queue) -> None:
    task = q.enqueue("fails", "again", queue="repairs")
    assert task.exception(WAIT) is not None
    q.pause("repairs")
    assert task.retry().changed == 1
    assert (task.status, task.attempts, task.waiting_for) == (Status.NEW, 0, "paused")
    assert task.retry().skipped  # it waits already: nothing changes
    assert runs(q, task)[0] == ("error", "again")
    q.resume("repairs")
    assert task.exception(WAIT) is not None
    assert runs(q, task) == [("error", "again")] * 2


def test_a_cancel_says_whether_it_changed_something(q: Queue, tmp_path: Path) -> None:
    assert q.cancel(2**40) == Changed(0, {"there is no such task": 1})
    done = q.enqueue("echo", 1)
    done.result(WAIT)
    assert done.cancel() is False
    assert done.status is Status.DONE
    running = q.enqueue("gated", str(tmp_path))
    until(lambda: began(tmp_path), "it runs")
    assert running.retry().changed == 0  # what runs is not started a second time
    assert running.cancel("enough") is True
    with pytest.raises(TaskCanceled, match="enough"):
        running.result(WAIT)
    (tmp_path / "gate").touch()
    until(lambda: running._row().seq is None and running._row().worker_id is None, "its code was stopped")
    assert (running.status, began(tmp_path)) == (Status.CANCELED, 1)


def test_each_slot_of_a_schedule_is_one_task_however_many_workers_there_are(q: Queue) -> None:
    until(lambda: len(q.tasks(type="tick", status="done")) >= 3, "three slots have come")
    slots = sorted(q.tasks(type="tick")["slot"])
    assert {after - before for before, after in pairwise(slots)} == {timedelta(seconds=1)}
    assert len(q.tasks(type="new_year")) == 1  # run_on_start, once for two workers


def test_a_payload_that_cannot_be_read_never_reaches_the_code_and_is_not_tried_again(q: Queue) -> None:
    task = q.enqueue("order", {"number": "five"})
    assert isinstance(task.exception(WAIT), PayloadError)
    assert (task.status, task.attempts, "an order" in task.logs) == (Status.ATTEMPTS_LEFT, 1, False)
    assert runs(q, task) == [("error", "payload.number is text, not int")]


def test_a_hook_that_fails_ends_the_run_at_once_with_its_traceback(q: Queue) -> None:
    task = q.enqueue("vetoed")
    assert str(task.exception(WAIT)) == "this hook is broken"
    assert (task.status, "it ran" in task.logs) == (Status.ATTEMPTS_LEFT, False)
    assert "in broken" in task.traceback


@pytest.mark.parametrize("pool", ["process", "thread"])
def test_a_cancellation_of_the_code_s_own_is_a_failure_and_comes_to_an_end(q: Queue, pool: str) -> None:
    task = q.enqueue("interrupted", tags=[pool])
    assert task.exception(WAIT) is not None
    assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 2)

"""What the statements behind cancel and retry do and refuse, also while a worker has the tasks."""

from __future__ import annotations

import psycopg
import pytest

from goque.model.states import RunOutcome, Status
from goque.queries import cancel, claim, enqueue, pause, retry
from goque.queries.enqueue import Single
from tests.rig import BATCH, Rig, Worker

CANCELED, NEW, LEFT = Status.CANCELED, Status.NEW, Status.ATTEMPTS_LEFT


class TestSingles:
    def test_a_plain_task_is_stored_and_counted_as_by_the_statement_for_all(self, rig: Rig, lane: int) -> None:
        rig.database.run(enqueue.single(Single(1, lane, b"arguments", 5)))
        [told] = enqueue.told(Single(2, lane, b"arguments", 5), enqueue.wake("goque_goque", "work:"))
        with psycopg.connect(rig.database.dsn, autocommit=True) as hearing:
            hearing.execute("listen goque_goque")
            rig.database.run(told)
            [word] = hearing.notifies(timeout=10.0, stop_after=1)
            rig.database.all(enqueue.singles([Single(3, lane, b"arguments", 5)]))
            rows = hearing.execute("select to_jsonb(task) - 'id' - 'seq' - 'created_at' from goque.task").fetchall()
            counts = hearing.execute("select to_jsonb(tally) - 'changed_at' from goque.tally").fetchall()
        assert word.payload == "work:"
        assert len(rows) == len(counts) == 3
        assert rows[0] == rows[1] == rows[2]
        assert counts[0] == counts[1] == counts[2]

    def test_what_is_more_than_plain_is_not_stored_as_plain(self) -> None:
        plain = Single(1, 1, b"arguments", 3)
        assert enqueue.is_plain(plain)
        for field in Single._fields[4:]:
            assert not enqueue.is_plain(plain._replace(**{field: "something"})), field


class TestCancelAndSettle:
    def test_a_waiting_task_is_canceled_for_good(self, rig: Rig, lane: int, worker: Worker) -> None:
        ready = rig.tasks(lane, 1)
        later = rig.tasks(lane, 1, first=1, delay=0.001)
        assert sorted(rig.cancel(*ready, *later)) == [*ready, *later]
        assert rig.cancel(*ready, *later) == []
        assert rig.promote() == []
        assert worker.claim(lane) == []

    def test_what_runs_keeps_its_worker_until_it_is_settled(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        [task] = worker.claim(lane)
        worker.start(task)
        rig.cancel(id)
        assert rig.retry(id) == {id: retry.Skip.STOPPING}
        assert worker.settle(task) == [id]
        assert worker.settle(task) == []
        assert rig.runs(id) == [(1, "canceled", "canceled")]
        assert rig.retry(id) == {id: None}
        [again] = worker.claim(lane)
        assert (again.run, again.attempts) == (2, 0)

    def test_a_settled_task_that_had_not_begun_leaves_no_record(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        [task] = worker.claim(lane)
        rig.cancel(id)
        assert worker.settle(task, ran=False) == [id]
        assert rig.runs(id) == []

    def test_a_canceled_row_that_is_locked_is_still_ours_to_settle(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        [task] = worker.claim(lane)
        rig.cancel(id)
        with rig.locked(id):
            assert worker.settle(task) == []
            assert worker.still_holds(task) == {id}
        assert worker.settle(task) == [id]
        assert worker.still_holds(task) == set()

    def test_a_lane_is_canceled_without_what_a_retry_took_out_of_it(self, rig: Rig, lane: int, worker: Worker) -> None:
        ids = rig.tasks(lane, 3)
        rig.cancel(ids[0])
        assert rig.retry(ids[0], lane=rig.lane("new")) == {ids[0]: None}
        assert sorted(rig.database.all(cancel.cancel_lane(lane, ids[0], ids[-1], "over"))) == ids[1:]
        assert rig.row(ids[0]).status == NEW

    def test_a_worker_sees_what_was_canceled_and_paused(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.batch(2)
        canceled, paused = rig.tasks(lane, 2)
        worker.claim(lane)
        held = [(canceled, lane), (paused, lane)]
        assert rig.database.all(claim.watch_held(held, "*")) == []
        rig.cancel(canceled)
        assert rig.database.all(claim.watch_held(held, "*")) == [(canceled, True, False)]
        rig.database.run(pause.pause_batch(BATCH, True))
        found = sorted(rig.database.all(claim.watch_held(held, "*")))
        assert found == [(canceled, True, True), (paused, False, True)]


class TestRetry:
    def test_attempts_begin_anew_or_one_more_is_allowed(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1, max_attempts=1)
        [task] = worker.claim(lane)
        assert worker.fail(task) == {id: LEFT}
        rig.retry(id, reset=False)
        assert (rig.row(id).attempts, rig.row(id).max_attempts) == (1, 2)
        [task] = worker.claim(lane)
        assert worker.fail(task) == {id: LEFT}
        rig.retry(id)
        assert (rig.row(id).attempts, rig.row(id).max_attempts) == (0, 2)

    def test_it_leaves_alone_what_waits_runs_or_is_done(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.tasks(lane, 3)
        done, running = worker.claim(lane, 1)[0], worker.claim(lane, 1)[0]
        worker.succeed(done)
        worker.start(running)
        before = rig.rows()
        assert rig.retry(*before) == {}
        assert rig.rows() == before

    def test_force_moves_a_success_into_a_record(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        worker.succeed(*worker.claim(lane))
        assert rig.retry(id, force=True) == {id: None}
        [record] = rig.ask("select * from goque.run")
        assert (record.run, record.status, record.outcome, record.result) == (1, "done", "done", b"result")
        [again] = worker.claim(lane)
        assert worker.succeed(again, result=b"second") == [id]
        assert rig.row(id).result == b"second"

    def test_a_failed_task_that_waits_runs_now(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        worker.fail(*worker.claim(lane), delay=3600)
        assert worker.claim(lane) == []
        assert rig.retry(id) == {id: None}
        assert [task.id for task in worker.claim(lane)] == [id]

    def test_a_failed_task_that_is_held_is_left_alone(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        worker.fail(*worker.claim(lane))
        rig.promote()
        [task] = worker.claim(lane)
        assert rig.retry(id) == {id: retry.Skip.STOPPING}
        assert worker.succeed(task) == [id]

    def test_an_external_id_that_another_has_taken_is_not_taken_back(self, rig: Rig, lane: int, worker: Worker) -> None:
        first, second = rig.tasks(lane, 2, external_id="order-1")
        rig.cancel(first, second)
        assert rig.retry(first, second) == {first: None, second: retry.Skip.DUPLICATE}
        assert [(row.external_id, row.task_id) for row in rig.ask("select * from goque.external_id")] == [
            ("order-1", first)
        ]
        assert rig.row(second).status == CANCELED
        worker.end(*worker.claim(lane), status=LEFT, outcome=RunOutcome.ERROR, charge=1)
        assert rig.ask("select * from goque.external_id") == []


def test_a_task_cannot_be_given_more_attempts_than_allowed_by_any_hand(rig: Rig, lane: int) -> None:
    rig.tasks(lane, 1)
    with (
        psycopg.connect(rig.database.dsn) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute("update goque.task set attempts = max_attempts + 1")

"""What the statements of a worker do and refuse: claims, starts, outcomes, from several connections."""

from __future__ import annotations

from goque.model.eligibility import Eligibility
from goque.model.states import MAX_HANDBACKS, Status
from goque.queries import claim, pause, reports
from tests.rig import BATCH, Rig, Worker

CANCELED, DONE, ERROR, NEW = Status.CANCELED, Status.DONE, Status.ERROR, Status.NEW
PENDING, PROCESSING, LEFT = Status.PENDING, Status.PROCESSING, Status.ATTEMPTS_LEFT


class TestClaim:
    def test_takes_the_oldest_first_and_no_more_than_it_wants(self, rig: Rig, lane: int, worker: Worker) -> None:
        first, second = rig.tasks(lane, 3), rig.tasks(lane, 3, first=3)
        assert sorted(task.id for task in worker.claim(lane, 3)) == first
        assert sorted(task.id for task in worker.claim(lane, 9)) == second

    def test_two_workers_never_take_the_same(self, rig: Rig, lane: int, worker: Worker, other: Worker) -> None:
        ids = rig.tasks(lane, 6)
        taken = [task.id for task in (*worker.claim(lane, 4), *other.claim(lane, 4))]
        assert sorted(taken) == ids

    def test_passes_over_what_somebody_has_locked(self, rig: Rig, lane: int, worker: Worker) -> None:
        first, second = rig.tasks(lane, 2)
        with rig.locked(first):
            assert [task.id for task in worker.claim(lane)] == [second]
        assert [task.id for task in worker.claim(lane)] == [first]

    def test_raises_the_run_at_every_claim(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.tasks(lane, 1)
        for run in (1, 2, 3):
            [task] = worker.claim(lane)
            assert task.run == run
            worker.hand_back(task)

    def test_takes_nothing_of_a_paused_batch_or_queue(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.batch(1)
        rig.tasks(lane, 1)
        for paused, resumed in (
            (pause.pause_batch(BATCH, True), pause.pause_batch(BATCH, False)),
            (pause.pause_queues(["default"], True), pause.pause_queues(["default"], False)),
            (pause.pause_queues(["*"], True), pause.resume_everything()),
        ):
            rig.database.run(paused)
            assert worker.claim(lane) == []
            assert rig.database.all(claim.live_lanes(Eligibility(python="3.11"))) == []
            rig.database.run(resumed)
            [task] = worker.claim(lane)
            worker.hand_back(task)

    def test_keeps_large_arguments_and_those_of_suspects_back(self, rig: Rig, lane: int, worker: Worker) -> None:
        small, large = b"s" * claim.INLINE, b"l" * (claim.INLINE + 1)
        rig.tasks(lane, 1, args=small)
        rig.tasks(lane, 1, first=1, args=large)
        here = {task.id % 10: task.args for task in worker.claim(lane)}
        assert here == {0: small, 1: None}
        assert dict(rig.database.all(claim.arguments([BATCH * 10**9 + 1]))) == {BATCH * 10**9 + 1: large}

    def test_says_which_task_has_expired(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.tasks(lane, 1, expires=-1.0)
        rig.tasks(lane, 1, first=1, expires=3600.0)
        assert [task.expired for task in sorted(worker.claim(lane))] == [True, False]

    def test_writes_one_ledger_row_per_claim_and_none_for_nothing(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.tasks(lane, 5)
        worker.claim(lane, 2)
        worker.claim(lane, 9)
        worker.claim(lane, 9)
        assert sorted(len(row.task_ids) for row in rig.ask("select * from goque.claim")) == [2, 3]


class TestFence:
    """An outcome is written by the worker that holds this run, once, and by nobody else."""

    def test_an_outcome_is_written_once(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        [task] = worker.claim(lane)
        assert worker.succeed(task) == [id]
        assert worker.succeed(task, result=b"again") == []
        assert worker.fail(task) == {}
        assert (rig.row(id).status, rig.row(id).attempts, rig.row(id).result) == (DONE, 1, b"result")

    def test_another_worker_writes_nothing(self, rig: Rig, lane: int, worker: Worker, other: Worker) -> None:
        rig.tasks(lane, 1)
        [task] = worker.claim(lane)
        for verb in (other.succeed, other.fail, other.hand_back, other.settle, other.start, other.stop):
            assert not verb(task)
        assert worker.succeed(task)

    def test_an_earlier_run_of_the_same_worker_writes_nothing(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        [early] = worker.claim(lane)
        worker.hand_back(early)
        [late] = worker.claim(lane)
        for verb in (worker.succeed, worker.fail, worker.hand_back, worker.settle, worker.start, worker.stop):
            assert not verb(early)
        assert worker.succeed(late) == [id]

    def test_a_worker_that_was_lost_changes_nothing_after_the_healing(
        self, rig: Rig, lane: int, worker: Worker, other: Worker
    ) -> None:
        [id] = rig.tasks(lane, 1)
        [task] = worker.claim(lane)
        rig.lose(worker.id)
        assert rig.heal() == {id: NEW}
        assert worker.succeed(task) == []
        [again] = other.claim(lane)
        assert worker.succeed(task) == []
        assert other.succeed(again, result=b"of the other") == [id]
        assert rig.row(id).result == b"of the other"

    def test_a_canceled_task_takes_no_outcome(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        [task] = worker.claim(lane)
        assert rig.cancel(id, reason="enough") == [id]
        assert worker.succeed(task) == []
        assert worker.fail(task) == {}
        assert worker.hand_back(task) == []
        assert (rig.row(id).status, rig.row(id).reason) == (CANCELED, "enough")

    def test_a_locked_row_is_skipped_and_still_held(self, rig: Rig, lane: int, worker: Worker) -> None:
        locked, free = rig.tasks(lane, 2)
        tasks = worker.claim(lane)
        with rig.locked(locked):
            assert worker.succeed(*tasks) == [free]
            assert worker.still_holds(*tasks) == {locked}
        assert worker.succeed(*tasks) == [locked]
        assert worker.still_holds(*tasks) == set()


class TestEnding:
    def test_attempts_are_charged_until_none_is_left(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        for attempts, status in ((1, ERROR), (2, ERROR), (3, LEFT)):
            [task] = worker.claim(lane)
            assert worker.fail(task) == {id: status}
            assert rig.row(id).attempts == attempts
            rig.promote()
        assert rig.promote() == []
        assert rig.runs(id) == [(run, "error", "error") for run in (1, 2, 3)]

    def test_a_snooze_charges_nothing_and_leaves_a_record(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        [task] = worker.claim(lane)
        assert worker.snooze(task, delay=3600) == {id: PENDING}
        assert (rig.row(id).attempts, rig.promote(), rig.runs(id)) == (0, [], [(1, "pending", "snoozed")])

    def test_the_last_hand_back_of_a_started_task_is_final(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        for number in range(1, MAX_HANDBACKS + 1):
            [task] = worker.claim(lane)
            assert worker.stop(task) == {id: LEFT if number == MAX_HANDBACKS else NEW}
        assert (rig.row(id).attempts, len(rig.runs(id))) == (0, MAX_HANDBACKS)
        assert rig.retry(id) == {id: None}
        assert rig.row(id).handbacks == 0

    def test_a_checkpoint_makes_hand_backs_count_anew(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        for _ in range(2 * MAX_HANDBACKS):
            [task] = worker.claim(lane)
            worker.connection.run(reports.report(worker.id, [reports.Report(task.id, task.run, checkpoint=b"here")]))
            assert worker.stop(task) == {id: NEW}
        assert task.checkpoint == b"here"

    def test_a_hand_back_of_what_was_buffered_leaves_nothing(self, rig: Rig, lane: int, worker: Worker) -> None:
        ids = rig.tasks(lane, 3)
        before = rig.rows()
        tasks = worker.claim(lane)
        assert sorted(worker.hand_back(*tasks)) == ids
        assert {id: row._replace(run=0) for id, row in rig.rows().items()} == before
        assert rig.ask("select * from goque.run") == []

    def test_a_marked_suspect_that_was_not_started_goes_back_uncharged(
        self, rig: Rig, lane: int, worker: Worker, other: Worker
    ) -> None:
        [id] = rig.tasks(lane, 1)
        worker.claim(lane)
        rig.lose(worker.id)
        rig.heal()
        [task] = other.claim(lane)
        assert (task.losses, task.args) == (1, None)
        assert other.start(task) == {id: b"arguments"}
        assert rig.row(id).status == PROCESSING
        assert other.hand_back(task) == [id]
        row = rig.row(id)
        assert (row.status, row.attempts, row.losses) == (NEW, 0, 1)

    def test_a_success_forgets_losses(self, rig: Rig, lane: int, worker: Worker, other: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        worker.claim(lane)
        rig.lose(worker.id)
        rig.heal()
        [task] = other.claim(lane)
        other.start(task)
        assert other.succeed(task) == [id]
        assert rig.row(id).losses == 0

    def test_closed_claims_leave_nothing(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.tasks(lane, 4)
        worker.succeed(*worker.claim(lane, 2), *worker.claim(lane, 2))
        worker.close_claims()
        assert rig.claims() == 0

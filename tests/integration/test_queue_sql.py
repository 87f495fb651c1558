"""What each statement of the queue does and refuses, from several connections and without worker processes."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from goque.model.eligibility import Eligibility
from goque.model.states import MAX_HANDBACKS, MAX_LOSSES, RunOutcome, Status
from goque.postgres.database import Database
from goque.queries import cancel, claim, pause, reports, retry, upkeep, workers
from tests.rig import BATCH, Rig, Worker

CANCELED, DONE, ERROR, NEW, PENDING = Status.CANCELED, Status.DONE, Status.ERROR, Status.NEW, Status.PENDING
LEFT, PROCESSING = Status.ATTEMPTS_LEFT, Status.PROCESSING


@pytest.fixture
def rig(database: Database) -> Iterator[Rig]:
    made = Rig(database)
    yield made
    assert made.broken() == []


@pytest.fixture
def lane(rig: Rig) -> int:
    return rig.lane()


@pytest.fixture
def worker(rig: Rig) -> Iterator[Worker]:
    made = rig.worker()
    yield made
    made.connection.close()


@pytest.fixture
def other(rig: Rig) -> Iterator[Worker]:
    made = rig.worker()
    yield made
    made.connection.close()


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


class TestHeal:
    def test_it_touches_nobody_who_lives(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.tasks(lane, 3)
        worker.start(*worker.claim(lane, 1))
        worker.claim(lane)
        before = rig.rows()
        assert rig.heal() == {}
        assert (rig.rows(), rig.claims()) == (before, 2)

    def test_it_charges_what_ran_and_not_what_was_held(self, rig: Rig, lane: int, worker: Worker) -> None:
        rig.tasks(lane, 2)
        running, held = worker.claim(lane, 1)[0], worker.claim(lane, 1)[0]
        worker.start(running)
        rig.lose(worker.id)
        assert rig.heal() == {running.id: ERROR, held.id: NEW}
        assert rig.runs(running.id) == [(1, "error", "lost")]
        assert rig.runs(held.id) == [(1, "pending", "lost_unknown")]
        assert [rig.row(task.id).attempts for task in (running, held)] == [1, 0]
        assert [rig.row(task.id).losses for task in (running, held)] == [1, 1]
        assert rig.claims() == 0

    def test_a_task_that_was_running_on_its_last_attempt_is_final(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1, max_attempts=1, external_id="once")
        worker.start(*worker.claim(lane))
        rig.lose(worker.id)
        assert rig.heal() == {id: LEFT}
        assert rig.row(id).attempts == 1

    def test_so_many_losses_in_a_row_are_final(self, rig: Rig, lane: int) -> None:
        [id] = rig.tasks(lane, 1)
        for number in range(1, MAX_LOSSES + 1):
            worker = rig.worker()
            assert [task.losses for task in worker.claim(lane)] == [number - 1]
            rig.lose(worker.id)
            assert rig.heal() == {id: LEFT if number == MAX_LOSSES else NEW}
            worker.connection.close()
        assert (rig.row(id).attempts, len(rig.runs(id))) == (0, MAX_LOSSES)
        assert rig.retry(id) == {id: None}
        assert rig.row(id).losses == 0

    def test_a_canceled_task_of_a_lost_worker_can_be_retried(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        worker.start(*worker.claim(lane))
        rig.cancel(id)
        rig.lose(worker.id)
        assert rig.heal() == {id: CANCELED}
        assert rig.retry(id) == {id: None}

    def test_what_is_locked_comes_up_again(self, rig: Rig, lane: int, worker: Worker) -> None:
        locked, free = rig.tasks(lane, 2)
        worker.claim(lane)
        rig.lose(worker.id)
        with rig.locked(locked):
            assert rig.heal() == {free: NEW}
            assert rig.database.first(upkeep.left_behind()) is not None
        assert rig.heal() == {locked: NEW}
        assert rig.database.first(upkeep.left_behind()) is None

    def test_a_task_that_went_on_to_another_worker_is_left_alone(
        self, rig: Rig, lane: int, worker: Worker, other: Worker
    ) -> None:
        [id] = rig.tasks(lane, 1)
        worker.hand_back(*worker.claim(lane))
        [task] = other.claim(lane)
        rig.lose(worker.id)
        assert rig.heal() == {}
        assert other.succeed(task) == [id]
        assert rig.ask(f"select * from goque.claim where worker_id = {worker.id}") == []

    def test_claims_of_which_nothing_is_left_do_not_stand_before_others(
        self, rig: Rig, lane: int, worker: Worker
    ) -> None:
        ids = rig.tasks(lane, 21)
        for _ in range(20):
            worker.succeed(*worker.claim(lane, 1))
        worker.claim(lane)
        rig.lose(worker.id)
        from goque.maintenance.healer import Healer

        Healer(rig.database).run_once()
        assert rig.row(ids[-1]).status == NEW
        assert rig.row(ids[-1]).worker_id is None
        assert rig.claims() == 0


class TestLooking:
    def test_who_is_missing_at_five_looks_is_lost(
        self, rig: Rig, worker: Worker, other: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workers, "BEAT_S", 0.0)
        found = []
        for _ in range(workers.LOOKS):
            found.append(worker.beat())
        assert found == [*([worker.id] for _ in range(4)), [worker.id, other.id]]
        assert other.beat() == []
        assert rig.database.all(workers.alive()) == [worker.id]

    def test_one_heartbeat_in_between_is_enough(
        self, rig: Rig, worker: Worker, other: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workers, "BEAT_S", 0.0)
        for number in range(3 * workers.LOOKS):
            assert worker.beat() == [worker.id]
            if number % 4 == 3:
                assert other.beat() == [other.id]

    def test_looks_that_come_too_early_count_for_nothing(self, rig: Rig, worker: Worker, other: Worker) -> None:
        for _ in range(3 * workers.LOOKS):
            assert worker.beat() == [worker.id]
        assert sorted(rig.database.all(workers.alive())) == [worker.id, other.id]

    def test_who_was_declared_lost_counts_nobody(
        self, rig: Rig, worker: Worker, other: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workers, "BEAT_S", 0.0)
        rig.lose(other.id)
        for _ in range(2 * workers.LOOKS):
            assert other.beat() == []
        assert rig.ask(f"select missed from goque.worker where id = {worker.id}")[0].missed == 0

    def test_a_heartbeat_that_is_being_written_is_not_missed(
        self, rig: Rig, worker: Worker, other: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workers, "BEAT_S", 0.0)
        with rig.locked_worker(other.id):
            for _ in range(2 * workers.LOOKS):
                assert worker.beat() == [worker.id]


class TestPromote:
    def test_what_is_due_becomes_ready_and_nothing_else(self, rig: Rig, lane: int, worker: Worker) -> None:
        due = rig.tasks(lane, 2, delay=0.0)
        later = rig.tasks(lane, 1, first=2, delay=3600.0)
        assert sorted(rig.promote()) == due
        assert rig.promote() == []
        assert sorted(task.id for task in worker.claim(lane)) == due
        assert rig.row(later[0]).status == PENDING
        assert 3590 < (rig.database.first(upkeep.next_due()) or 0) < 3601


class TestFold:
    def test_counts_stay_what_they_are(self, rig: Rig, lane: int, worker: Worker) -> None:
        for place in range(30):
            rig.tasks(lane, 1, first=place)
        worker.succeed(*worker.claim(lane, 12))
        before = rig.ask("select sum(new) as new, sum(done) as done from goque.tally")
        assert rig.database.all(upkeep.fold()) == [lane]
        assert rig.ask("select sum(new) as new, sum(done) as done from goque.tally") == before == [(18, 12)]
        assert len(rig.ask("select * from goque.tally")) == 1
        assert rig.database.all(upkeep.fold()) == []


class TestShare:
    def test_followers_take_the_outcome_when_it_is_final(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        follower = rig.follower(lane, id, 7)
        [task] = worker.claim(lane)
        assert worker.share(id) == []
        worker.succeed(task)
        assert worker.share(id) == [follower]
        assert worker.share(id) == []
        assert rig.row(follower).status == DONE

    def test_a_locked_follower_holds_up_nobody_and_is_found_later(self, rig: Rig, lane: int, worker: Worker) -> None:
        from goque.maintenance.sweeper import Sweeper

        [id] = rig.tasks(lane, 1)
        locked, free = rig.follower(lane, id, 7), rig.follower(lane, id, 8)
        worker.succeed(*worker.claim(lane))
        with rig.locked(locked):
            assert worker.share(id) == [free]
        assert rig.row(locked).status == PENDING
        Sweeper(rig.database).run_once()
        assert rig.row(locked).status == DONE
        assert rig.ask("select * from goque.dependency") == []

    def test_a_follower_that_was_canceled_stays_canceled(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1)
        follower = rig.follower(lane, id, 7)
        rig.cancel(follower)
        worker.succeed(*worker.claim(lane))
        assert worker.share(id) == []
        assert rig.row(follower).status == CANCELED
        assert rig.ask("select * from goque.dependency") == []


class TestSweeper:
    def test_a_cancel_whose_caller_died_comes_to_its_end(self, rig: Rig, lane: int, worker: Worker) -> None:
        from goque.maintenance.sweeper import Sweeper

        rig.batch(4)
        ids = rig.tasks(lane, 4)
        worker.succeed(*worker.claim(lane, 1))
        rig.database.run(cancel.close_lanes(BATCH, "no more", owner="ann"))
        Sweeper(rig.database, patience=3600).run_once()
        assert rig.row(ids[1]).status == NEW
        assert worker.claim(lane) == []
        Sweeper(rig.database, patience=0).run_once()
        assert [rig.row(id).status for id in ids] == [DONE, CANCELED, CANCELED, CANCELED]
        assert rig.row(ids[1]).reason == "no more"
        [canceled] = {row.changed_by for row in rig.ask("select changed_by from goque.task where status = 'canceled'")}
        assert canceled.endswith("/ann")


def test_a_task_cannot_be_given_more_attempts_than_allowed_by_any_hand(rig: Rig, lane: int) -> None:
    rig.tasks(lane, 1)
    with (
        psycopg.connect(rig.database.dsn) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute("update goque.task set attempts = max_attempts + 1")


def test_what_the_database_thinks_a_worker_holds(rig: Rig, lane: int, worker: Worker) -> None:
    first, second, third = rig.tasks(lane, 3)
    tasks = {task.id: task for task in worker.claim(lane)}
    rig.cancel(first)
    worker.succeed(tasks[second])
    assert sorted(worker.connection.all(workers.held_by(worker.id))) == [(first, 1, True), (third, 1, False)]

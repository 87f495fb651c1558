"""What the statements of upkeep do and refuse: healing, promotion, counts, shared outcomes, the sweeper."""

from __future__ import annotations

import psycopg
import pytest

from goque.model.states import EXPIRED, MAX_LOSSES, Status
from goque.queries import cancel, upkeep, workers
from tests.rig import BATCH, Rig, Worker

CANCELED, DONE, ERROR, NEW = Status.CANCELED, Status.DONE, Status.ERROR, Status.NEW
PENDING, LEFT = Status.PENDING, Status.ATTEMPTS_LEFT


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

    @pytest.mark.parametrize("jump", ["1 hour", "-1 hour"])
    def test_a_clock_that_jumps_brings_one_look_and_stops_none(
        self, rig: Rig, worker: Worker, other: Worker, jump: str
    ) -> None:
        missed = f"select missed from goque.worker where id = {other.id}"
        for looks in range(1, 4):
            with psycopg.connect(rig.database.dsn) as connection:
                connection.execute("update goque.maintenance set last_at = now() + %s::interval", (jump,))
            for _ in range(3 * workers.LOOKS):
                worker.beat()
            assert rig.ask(missed)[0].missed == looks
        assert other.beat() == [other.id]
        assert rig.ask(missed)[0].missed == 0

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


class TestExpire:
    def test_what_waits_is_canceled_and_what_is_held_done_or_in_time_is_not(
        self, rig: Rig, lane: int, worker: Worker
    ) -> None:
        done, held = rig.tasks(lane, 2, expires=-1.0)
        worker.succeed(next(task for task in worker.claim(lane) if task.id == done))
        waiting = rig.tasks(lane, 2, first=2, expires=-1.0)
        delayed = rig.tasks(lane, 1, first=4, expires=-1.0, delay=3600.0)
        in_time = [*rig.tasks(lane, 1, first=5, expires=3600.0), *rig.tasks(lane, 1, first=6)]
        assert sorted(rig.database.all(cancel.expire())) == [*waiting, *delayed]
        assert rig.database.all(cancel.expire()) == []
        assert [rig.row(id).status for id in (done, held, *in_time)] == [DONE, NEW, NEW, NEW]
        assert {(rig.row(id).status, rig.row(id).reason) for id in (*waiting, *delayed)} == {(CANCELED, EXPIRED)}

    def test_what_failed_before_is_not_tried_again(self, rig: Rig, lane: int, worker: Worker) -> None:
        [id] = rig.tasks(lane, 1, expires=3600.0)
        worker.fail(*worker.claim(lane), delay=3600.0)
        rig.ask(f"update goque.task set expires_at = now() where id = {id} returning id")
        assert rig.database.all(cancel.expire()) == [id]
        assert (rig.row(id).status, rig.row(id).attempts) == (CANCELED, 1)

    def test_it_goes_in_steps_past_what_somebody_has_locked(self, rig: Rig, lane: int) -> None:
        first, *rest = rig.tasks(lane, 5, expires=-1.0)
        with rig.locked(first):
            assert len(rig.database.all(cancel.expire(limit=3))) == 3
            assert len(rig.database.all(cancel.expire(limit=3))) == 1
        assert rig.database.all(cancel.expire()) == [first]
        assert {rig.row(id).status for id in rest} == {CANCELED}


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


def test_what_the_database_thinks_a_worker_holds(rig: Rig, lane: int, worker: Worker) -> None:
    first, second, third = rig.tasks(lane, 3)
    tasks = {task.id: task for task in worker.claim(lane)}
    rig.cancel(first)
    worker.succeed(tasks[second])
    assert sorted(worker.connection.all(workers.held_by(worker.id))) == [(first, 1, True), (third, 1, False)]

"""Claiming when statements fail, are refused, or are carried out without an answer: nothing is mislaid."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from goque.errors import DatabaseUnavailable
from goque.model.eligibility import Eligibility
from goque.queries import claim
from goque.queries.moments import Word, channel
from goque.sql import Statement
from goque.worker.claimer import LONGEST_TURN, LOOK_AGAIN_S, NEXT_CHECK_S, OFTEN_LATE, SECOND_CHECK_S
from tests.post import Post
from tests.rig import Rig


class TestClaimer:
    def test_a_claim_without_an_answer_is_handed_back(self, rig: Rig, lane: int, post: Post) -> None:
        ids = rig.tasks(lane, 3)
        post.asking.breaks = {"claim.claim": "after"}
        with pytest.raises(DatabaseUnavailable):
            post.claim()
        assert {row.worker_id for row in rig.rows().values()} == {post.worker.id}
        rig.cancel(ids[0])
        post.claimer.turn()
        assert rig.row(ids[0]).worker_id is None  # settled: it can be retried
        assert sorted(held.id for held in [*post.desk.withdraw(), *post.claim()]) == ids[1:]

    def test_where_another_takes_many_it_waits_for_its_turn_and_takes_a_few_where_that_does_not_come(
        self, rig: Rig, lane: int, post: Post
    ) -> None:
        ids = rig.tasks(lane, 200)
        post.roster.measured(lane, [0.00001])
        tries = []
        with rig.database.transaction() as another:
            assert another.all(claim.take_turns(post.worker.id, [lane])) == [lane]
            while not tries or not tries[-1]:
                tries.append(post.claim())
                assert 0 < post.claimer._pause() <= LONGEST_TURN
        assert [held.id for held in tries.pop()] == ids[: claim.FEW]
        assert len(tries) == OFTEN_LATE // 2  # each of them claims twice
        assert [held.id for held in post.claim()] == ids[claim.FEW :]

    def test_it_looks_once_more_when_the_server_must_have_given_up(
        self, rig: Rig, lane: int, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [id] = rig.tasks(lane, 1)
        post.asking.breaks = {"claim.claim": "before"}
        with pytest.raises(DatabaseUnavailable):
            post.claim()
        post.claimer.claiming = False
        post.claimer.turn()
        post.worker._number = 10**15
        assert post.worker.claim(lane)  # the server's last act on the broken connection
        post.claimer.turn()
        assert rig.row(id).worker_id == post.worker.id
        late = time.monotonic() + SECOND_CHECK_S + 5
        monkeypatch.setattr("time.monotonic", lambda: late)
        post.claimer.turn()
        assert rig.row(id).worker_id is None

    def test_a_claim_whose_commit_waited_for_longer_than_that_is_found_in_the_end(
        self, rig: Rig, lane: int, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lost, own = rig.tasks(lane, 2)
        held = post.worker.claim(lane, 1)  # without our hearing of it, while no connection was lost that we know of
        assert [one.id for one in held] == [lost]
        [running] = post.claim()
        post.claimer.claiming = False
        post.claimer.turn()
        assert rig.row(lost).worker_id == post.worker.id
        late = time.monotonic() + NEXT_CHECK_S + 5
        monkeypatch.setattr("time.monotonic", lambda: late)
        assert post.claimer._pause() <= 0.0
        post.claimer.turn()
        assert rig.row(lost).worker_id is None
        assert (running.id, rig.row(own).worker_id) == (own, post.worker.id)
        assert post.claimer._pause() > 0.0

    def test_what_was_claimed_and_could_not_be_prepared_is_handed_back(self, rig: Rig, lane: int, post: Post) -> None:
        rig.tasks(lane, 3)
        post.programs.fails = True
        with pytest.raises(DatabaseUnavailable):
            post.claim()
        post.write()
        assert {(row.status, row.worker_id, row.attempts) for row in rig.rows().values()} == {("new", None, 0)}
        assert post.desk.idle

    def test_a_new_lane_is_found_while_a_look_at_all_of_them_has_to_rest(
        self, rig: Rig, lane: int, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("goque.worker.claimer.MOMENT_S", 0.0)
        post.claimer._me.eligibility = Eligibility(python="3.11")
        rig.tasks(known := rig.lane(), 1)
        assert [held.lane for held in post.claim()] == [known]
        post.claimer._whole.cost = 60.0  # it took long, and may be repeated in twenty minutes

        def found() -> list[int]:
            post.claimer._newest.cost = 0.0  # however long it took on this machine
            post.claimer.look_again()
            post.claimer.turn()
            post.claimer.turn()
            return [held.lane for held in post.desk.withdraw()]

        rig.tasks(new := rig.lane(), 2, first=1)
        assert found() == [new, new]
        rig.tasks(lane, 1, first=3)
        assert found() == []
        post.claimer._whole.cost = 0.0
        assert found() == [lane]

    def test_what_it_is_told_of_during_a_look_is_looked_for_after_it(
        self, rig: Rig, lane: int, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look = post.asking.all

        def told_too_late(statement: Statement[Any]) -> list[Any]:
            found = look(statement)
            if statement.name == "claim.live_lanes" and not rig.rows():
                rig.tasks(lane, 1)
                post.claimer.look_again()
            return found

        monkeypatch.setattr(post.asking, "all", told_too_late)
        post.claimer.turn()
        assert post.desk.withdraw() == []
        post.claimer._look_at = time.monotonic() + 60.0
        post.claimer._whole.cost = post.claimer._newest.cost = 0.0
        assert post.claimer._pause() <= 0.0
        post.claimer.turn()
        assert len(post.desk.withdraw()) == 1

    @pytest.mark.parametrize("heard", [True, False])
    def test_a_slot_that_becomes_free_takes_the_most_urgent_of_what_there_is_by_then(
        self, rig: Rig, post: Post, heard: bool
    ) -> None:
        post.claimer._me.eligibility = Eligibility(python="3.11")
        rig.tasks(early := rig.lane("early"), 9)
        running = post.claim()
        assert [held.lane for held in running] == [early] * 4
        post.roster.takes_longer(early, 60.0)
        rig.tasks(urgent := rig.lane("urgent", priority=5), 1, first=20)
        if heard:
            post.claimer.look_again()
        else:
            post.claimer._whole.at -= LOOK_AGAIN_S
        post.claimer._whole.cost = post.claimer._newest.cost = 0.0
        post.done(running[0])
        post.claimer.turn()
        assert [held.lane for held in post.desk.withdraw()] == [urgent]

    def test_an_idle_worker_that_hears_of_work_takes_more_of_the_same_before_it_looks(
        self, rig: Rig, lane: int, post: Post, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("goque.worker.claimer.MOMENT_S", 0.0)
        rig.tasks(lane, 1)
        first = post.claim()  # and a look finds no more
        rig.tasks(lane, 9, first=1)
        post.asking.breaks = {"claim.live_lanes": "before"}
        post.hear()
        with pytest.raises(DatabaseUnavailable):  # it is not idle, so what it would find may be more urgent
            post.claimer.turn()
        post.done(*first)
        post.write()
        post.claimer.turn()
        assert len(post.desk.withdraw()) == post.roster.slots

    def test_what_is_handed_back_is_told_to_whoever_is_free(self, rig: Rig, lane: int, post: Post, dsn: str) -> None:
        rig.tasks(lane, 3)
        post.desk.unstarted(post.claim())
        with psycopg.connect(dsn, autocommit=True) as listener:
            listener.execute(f"listen {channel('goque')}")
            post.write()
            heard = next(listener.notifies(timeout=10))
        assert heard.payload == Word.WORK

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_suspect_whose_mark_had_no_answer_is_handed_back_uncharged(
        self, rig: Rig, lane: int, post: Post, when: str
    ) -> None:
        [id] = rig.tasks(lane, 1)
        dead = rig.worker()
        dead.claim(lane)
        rig.lose(dead.id)
        rig.heal()
        post.asking.breaks = {"claim.start": when}
        with pytest.raises(DatabaseUnavailable):
            post.claim()
        post.write()
        assert (rig.row(id).status, rig.row(id).attempts, rig.row(id).worker_id) == ("new", 0, None)
        assert [held.args for held in post.claim()] == [b"arguments"]
        dead.connection.close()

    def test_large_arguments_that_could_not_be_read_are_read_later(self, rig: Rig, lane: int, post: Post) -> None:
        large = b"l" * (claim.INLINE + 1)
        rig.tasks(lane, 2, args=large)
        post.asking.breaks = {"claim.arguments": "before"}
        with pytest.raises(DatabaseUnavailable):
            post.claim()
        post.claimer.turn()
        assert [held.args for held in post.desk.withdraw()] == [large, large]

    def test_what_it_has_not_fetched_is_handed_back_at_its_end(self, rig: Rig, lane: int, post: Post) -> None:
        rig.tasks(lane, 2, args=b"l" * (claim.INLINE + 1))
        post.asking.breaks = {"claim.arguments": "before"}
        with pytest.raises(DatabaseUnavailable):
            post.claim()
        post.claimer.on_stop()
        post.write()
        assert {(row.status, row.worker_id) for row in rig.rows().values()} == {("new", None)}

    def test_what_it_has_not_fetched_gives_way_to_a_pause_or_a_cancel(self, rig: Rig, lane: int, post: Post) -> None:
        first, second, third = rig.tasks(lane, 3, args=b"l" * (claim.INLINE + 1))
        post.asking.breaks = {"claim.arguments": "before"}
        with pytest.raises(DatabaseUnavailable):
            post.claim()
        rig.cancel(first)
        canceled = post.desk.find(first)
        assert canceled is not None
        canceled.stop = "canceled"
        post.claimer.turn()
        assert [held.id for held in post.desk.withdraw()] == [second, third]
        post.asking.breaks = {"claim.arguments": "before"}
        fourth = rig.tasks(lane, 1, first=3, args=b"l" * (claim.INLINE + 1))
        with pytest.raises(DatabaseUnavailable):
            post.claim()
        post.claimer.claiming = True
        post.claimer.give_way([lane])
        post.claimer.turn()
        post.write(None, None)
        assert rig.row(first).worker_id is None
        assert rig.row(fourth[0]).worker_id is None

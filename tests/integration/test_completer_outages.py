"""Writing outcomes when statements fail, are refused, or are carried out without an answer: none is mislaid."""

from __future__ import annotations

from typing import Any

import pytest

from goque.errors import DatabaseError, DatabaseUnavailable
from goque.model.outcomes import Outcome
from goque.model.states import Status
from goque.sql import Statement
from goque.worker.desk import Ended
from tests.post import CUT, Post
from tests.rig import Rig


def written(statement: Statement[Any]) -> tuple[int, ...]:
    """The tasks whose results a statement writes."""
    ids: Any = statement.values["ids"] if "results" in statement.values else ()
    return tuple(ids)


def statuses(rig: Rig) -> list[str]:
    return [row.status for _, row in sorted(rig.rows().items())]


class TestCompleter:
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_an_outcome_is_written_once_whatever_was_cut(self, rig: Rig, lane: int, post: Post, when: str) -> None:
        rig.tasks(lane, 3)
        post.done(*post.claim())
        post.writing.breaks = {"finish.succeed": when}
        post.write(DatabaseUnavailable, None)
        assert statuses(rig) == ["done"] * 3
        assert {row.attempts for row in rig.rows().values()} == {1}
        assert post.desk.idle

    def test_a_cut_while_unmatched_outcomes_are_settled_mislays_none(self, rig: Rig, lane: int, post: Post) -> None:
        ids = rig.tasks(lane, 2)
        post.done(*post.claim())
        rig.cancel(*ids)
        post.writing.breaks = {"finish.settle": "before"}
        post.write(DatabaseUnavailable, None)
        assert post.desk.idle
        assert rig.retry(*ids) == dict.fromkeys(ids)

    def test_a_cut_while_outcomes_are_written_one_by_one_mislays_none(self, rig: Rig, lane: int, post: Post) -> None:
        ids = rig.tasks(lane, 4)
        post.done(*post.claim())
        answers = {tuple(ids): "22P05", (ids[1],): CUT}
        post.writing.refuses = lambda one: answers.pop(written(one), "")
        post.write(DatabaseUnavailable, None)
        assert statuses(rig) == ["done"] * 4
        assert post.desk.idle

    def test_an_outcome_that_is_refused_becomes_a_failure_and_holds_up_no_other(
        self, rig: Rig, lane: int, post: Post, caplog: pytest.LogCaptureFixture
    ) -> None:
        ids = rig.tasks(lane, 3)
        post.done(*post.claim())
        post.writing.refuses = lambda one: "22P05" if ids[1] in written(one) else ""
        post.write(None, None)
        assert statuses(rig) == ["done", "attempts_left", "done"]
        [record] = rig.ask("select * from goque.run")
        assert "could not be stored" in record.error
        told = [one for one in caplog.records if getattr(one, "task", None) is not None]
        assert [(one.task, one.run, one.getMessage().partition(" is ")[0]) for one in told] == [
            (ids[1], 1, f"the outcome of task {ids[1]}, run 1,")
        ]
        assert post.desk.idle

    def test_an_end_that_is_refused_again_comes_again_and_is_said_once(
        self, rig: Rig, lane: int, post: Post, caplog: pytest.LogCaptureFixture
    ) -> None:
        ids = rig.tasks(lane, 2)
        post.done(*post.claim())
        post.writing.refuses = lambda one: "23514" if one.name in ("finish.succeed", "finish.end") else ""
        post.write(*[None] * 5)
        assert statuses(rig) == ["new"] * 2
        errors = [one for one in caplog.records if one.levelname == "ERROR"]
        assert sorted(one.task for one in errors) == ids
        post.writing.refuses = lambda _one: ""
        post.write(None)
        assert statuses(rig) == ["attempts_left"] * 2
        assert post.desk.idle

    @pytest.mark.parametrize("code", ["40P01", "55P03", "57014", "53100"])
    def test_a_deadlock_or_a_full_disk_costs_no_outcome(self, rig: Rig, lane: int, post: Post, code: str) -> None:
        rig.tasks(lane, 2)
        post.done(*post.claim())
        post.writing.refuses = lambda _one: code
        post.write(DatabaseError, DatabaseError)
        post.writing.refuses = lambda _one: ""
        post.write()
        assert statuses(rig) == ["done", "done"]
        assert post.desk.idle

    def test_a_hand_back_that_met_a_locked_row_is_no_cancel(self, rig: Rig, lane: int, post: Post) -> None:
        [id] = rig.tasks(lane, 1)
        post.desk.unstarted(post.claim())
        with rig.locked(id):
            post.write(None, None)
            assert not post.desk.idle
        post.write()
        assert (rig.row(id).status, rig.row(id).worker_id) == ("new", None)
        assert post.desk.idle

    def test_a_canceled_row_that_was_locked_is_settled_later(self, rig: Rig, lane: int, post: Post) -> None:
        [id] = rig.tasks(lane, 1)
        post.done(*post.claim())
        rig.cancel(id)
        with rig.locked(id):
            post.write(None, None)
            assert rig.claims() == 1
        post.write(None, None)
        assert rig.retry(id) == {id: None}
        assert rig.claims() == 0

    def test_a_locked_row_is_not_asked_for_all_the_time(self, rig: Rig, lane: int, post: Post) -> None:
        [id] = rig.tasks(lane, 1)
        post.done(*post.claim())
        with rig.locked(id):
            post.write()
            assert post.completer._pause() > 0.1
        post.write()
        assert rig.row(id).status == Status.DONE

    def test_a_checkpoint_that_met_an_outage_is_told_again(self, rig: Rig, lane: int, post: Post) -> None:
        [id] = rig.tasks(lane, 1)
        [held] = post.claim()
        held.new_checkpoint = b"half way"
        held.progress = {"done": float("nan"), "total": 2.0, "note": "a NUL \0 and \ud800"}
        post.writing.breaks = {"reports.report": "before"}
        post.write(DatabaseUnavailable, None)
        [row] = rig.ask("select * from goque.task")
        assert row.checkpoint is not None
        assert row.progress == {"total": 2.0, "note": "a NUL \\x00 and \\ud800"}
        assert held.new_checkpoint is None
        assert rig.row(id).status == Status.NEW
        post.desk.unstarted([held])
        post.write()

    def test_text_that_postgresql_does_not_take_is_stored_as_it_can_be(self, rig: Rig, lane: int, post: Post) -> None:
        rig.tasks(lane, 1)
        [held] = post.claim()
        odd = "\0 \ud800"
        outcome = Outcome("error", error_type=odd, message=odd, traceback=odd, args_repr=odd, log=odd, run_s=0.1)
        post.desk.ended([Ended(held, outcome)])
        post.write()
        [record] = rig.ask("select * from goque.run")
        assert {record.error_type, record.error, record.traceback, record.args_repr} == {"\\x00 \\ud800"}

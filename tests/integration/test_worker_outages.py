"""Claimer and completer when statements fail, are refused, or are carried out without an answer: nothing is mislaid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest

from goque.errors import DatabaseError, DatabaseUnavailable
from goque.model.eligibility import Eligibility
from goque.model.outcomes import Outcome
from goque.model.states import Status
from goque.payload.keys import KeyRing
from goque.queries import claim, workers
from goque.queries.moments import Word, channel
from goque.sql import Statement
from goque.worker import desk as desks
from goque.worker.claimer import LONGEST_TURN, LOOK_AGAIN_S, NEXT_CHECK_S, OFTEN_LATE, SECOND_CHECK_S, Claimer
from goque.worker.completer import Completer
from goque.worker.desk import Desk, Ended, Held, Me
from goque.worker.heartbeat import LEASE_S, Heartbeat
from goque.worker.ledger import Ledger
from goque.worker.programs import Lane
from goque.worker.roster import Roster
from tests.rig import Rig, Worker

CUT = "08006"


class Line:
    """A worker's connection that breaks where a test says so."""

    def __init__(self, worker: Worker) -> None:
        self._connection = worker.connection
        self.schema = "goque"
        self.breaks: dict[str, str] = {}
        """The name of a statement: whether it breaks ``before`` it is carried out or ``after``; once."""
        self.refuses: Callable[[Statement[Any]], str] = lambda _statement: ""

    def pipeline(self, statements: Sequence[Statement[Any]]) -> list[list[Any]]:
        for statement in statements:
            if code := self.refuses(statement):
                if code == CUT:
                    raise DatabaseUnavailable("cut in the middle", sqlstate=code)
                raise DatabaseError("refused by the test", sqlstate=code)
        when = [self.breaks.pop(one.name) for one in statements if one.name in self.breaks]
        if "before" in when:
            raise DatabaseUnavailable("cut before")
        answers = self._connection.pipeline(statements)
        if "after" in when:
            raise DatabaseUnavailable("cut after")
        return answers

    def all(self, statement: Statement[Any]) -> list[Any]:
        return self.pipeline([statement])[0]

    def alone(self, statement: Statement[Any]) -> list[Any]:
        return self.all(statement)

    def run(self, statement: Statement[Any]) -> int:
        return len(self.all(statement))


class Programs:
    """Every lane is known and nothing is sealed."""

    def __init__(self) -> None:
        self.fails = False

    def learn(self, lanes: Any, *, held: Any) -> None:
        if self.fails:
            self.fails = False
            raise DatabaseUnavailable("cut while it was read")

    def find(self, lane: int) -> Any:
        return Lane(None, None)  # type: ignore[arg-type]

    def arguments(self, held: Held, blob: bytes) -> bytes:
        return blob


class Post:
    """A worker's desk with its claimer and its completer, whose turns the test takes one by one."""

    def __init__(self, rig: Rig, lane: int) -> None:
        self.worker = rig.worker()
        self.asking, self.writing = Line(self.worker), Line(self.worker)
        self.desk, self.programs, self.roster = Desk(), Programs(), Roster(4)
        self.stopped: list[int] = []
        ledger = Ledger(KeyRing.empty())
        me = Me(self.worker.id, Eligibility(python="3.11", lanes=[lane]))
        anything: Any = self
        parts = (me, self.desk, self.roster)
        self.claimer = Claimer(anything.asking, *parts, anything.programs, ledger, wake_dispatcher=lambda: None)
        self.completer = Completer(
            anything.writing,
            *parts,
            ledger,
            stop_running=lambda tasks, why: self.stopped.extend(tasks),
            give_way=lambda lanes: None,
        )

    def claim(self) -> list[Held]:
        """Look and claim; what became ready."""
        self.claimer.look_again()
        self.claimer._whole.cost = self.claimer._newest.cost = 0.0  # it rests after a look that took long
        self.claimer.turn()
        self.claimer.turn()
        return self.desk.withdraw()

    def write(self, *turns: type[Exception] | None) -> None:
        """Turns of the completer, each of which ends with such an error."""
        for error in turns or (None,):
            self.completer._watch.due = 0.0
            if error is None:
                self.completer.turn()
            else:
                with pytest.raises(error):
                    self.completer.turn()

    def done(self, *tasks: Held, result: bytes = b"result") -> None:
        self.desk.ended([Ended(held, Outcome("done", result=result, run_s=0.1)) for held in tasks])


@pytest.fixture
def post(rig: Rig, lane: int) -> Iterator[Post]:
    made = Post(rig, lane)
    yield made
    made.worker.connection.close()


def written(statement: Statement[Any]) -> tuple[int, ...]:
    """The tasks whose results a statement writes."""
    ids: Any = statement.values["ids"] if "results" in statement.values else ()
    return tuple(ids)


def statuses(rig: Rig) -> list[str]:
    return [row.status for _, row in sorted(rig.rows().items())]


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
        post.claimer.look_again()
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


class TestHeartbeat:
    def heartbeat(self, post: Post, told: list[object]) -> Heartbeat:
        line: Any = post.asking
        return Heartbeat(
            line,
            post.claimer._me,
            post.desk,
            count_running=lambda: 0,
            on_lost=lambda: told.append("lost"),
            on_others_lost=told.append,
            on_silence=told.append,
        )

    def test_a_worker_whose_lease_is_over_claims_nothing_until_its_heart_beats_again(
        self, rig: Rig, lane: int, post: Post
    ) -> None:
        told: list[object] = []
        heartbeat = self.heartbeat(post, told)
        rig.tasks(lane, 1)
        post.claimer._me.well_until = time.monotonic() - 1
        assert post.claim() == []
        post.asking.breaks = {"workers.beat": "before"}
        with pytest.raises(DatabaseUnavailable):
            heartbeat.run_once()
        assert told == [True]
        heartbeat.run_once()
        assert told == [True, False]
        assert len(post.claim()) == 1
        post.desk.unstarted(post.desk.everything())
        post.write()

    def test_a_lease_ends_before_others_can_have_looked_often_enough(self) -> None:
        assert LEASE_S < workers.BEAT_S * workers.PUNCTUAL * workers.LOOKS

    def test_a_worker_hears_once_that_it_was_lost(self, rig: Rig, post: Post) -> None:
        told: list[object] = []
        heartbeat = self.heartbeat(post, told)
        rig.lose(post.worker.id)
        heartbeat.run_once()
        assert told == ["lost"]
        assert heartbeat.stopping.is_set()


def held_at(task: int, run: int, *, lane: int) -> Held:
    """A task as claim number ``run`` brought it."""
    return Held(task, lane, run, 0, 3, 0, 0, None, None, False, b"", None, None, run, 0.0)


class TestDesk:
    def test_a_task_that_came_back_before_its_hand_back_was_heard_of_is_counted_once(self) -> None:
        desk = Desk()
        early, late = (held_at(1, run, lane=7) for run in (1, 2))
        desk.claimed([early])
        desk.claimed([late])
        desk.written([early])
        assert desk.find(1) is late
        assert desk.by_lane() == [(7, 1)]
        desk.written([early])
        desk.written([late])
        assert desk.idle
        assert desk.by_lane() == []
        assert desk.outgoing(10)[2] == [1, 2]

    def test_what_is_being_written_is_over_until_it_is_written(self) -> None:
        desk = Desk()
        runs, ends, goes_back = (held_at(task, 1, lane=7) for task in (1, 2, 3))
        desk.claimed([runs, ends, goes_back])
        desk.ended([Ended(ends, Outcome("done"))])
        desk.unstarted([goes_back])
        assert desk.load() == (0, 2, 3)
        ended, unstarted, claims = desk.outgoing(10)
        assert desk.load() == (0, 2, 3)
        desk.unwritten(ended, unstarted, claims)
        assert desk.load() == (0, 2, 3)
        desk.outgoing(10)
        desk.written([ends, goes_back])
        assert desk.load() == (0, 0, 1)

    def test_results_are_written_in_messages_of_a_size_that_postgresql_takes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(desks, "MOST_BYTES", 100)
        desk = Desk()
        sizes = [40, 40, 40, 500, 10, 10]
        desk.ended(Ended(held_at(n, 1, lane=1), Outcome("done", result=b"r" * size)) for n, size in enumerate(sizes))
        written = []
        while found := desk.outgoing(10)[0]:
            written.append([len(one.outcome.result or b"") for one in found])
        assert written == [[40, 40], [40], [500], [10, 10]]

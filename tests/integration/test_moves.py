"""Every move of a task from one state to another is made once, by the statement of whoever makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from goque.model.states import FINAL, MAX_LOSSES, MOVES, Move, RunOutcome, Status
from goque.postgres.database import Database
from goque.queries import cancel
from goque.queries.claim import Claimed
from tests import moves
from tests.rig import Rig, Worker


class Stage:
    """One task, which is brought to a state and moved on from there."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.lane = rig.lane()
        self.worker: Worker = rig.worker()
        self.id = 0
        self.held: Claimed | None = None

    def make(self, **fields: Any) -> None:
        [self.id] = self.rig.tasks(self.lane, 1, **fields)

    def claim(self) -> Claimed:
        [self.held] = self.worker.claim(self.lane)
        return self.held

    def lose(self) -> None:
        """The worker is lost with what it holds, and another comes."""
        self.rig.lose(self.worker.id)
        self.worker.connection.close()
        self.worker = self.rig.worker()
        self.rig.heal()

    # How a task comes to a state; held by the worker where that can be

    def new(self, **fields: Any) -> None:
        self.make(**fields)
        self.claim()

    def error(self, **fields: Any) -> None:
        self.new(**fields)
        self.worker.fail(self.claimed)
        self.rig.promote()
        self.claim()

    def processing(self, **fields: Any) -> None:
        self.new(**fields)
        self.worker.start(self.claimed)

    def pending(self) -> None:
        self.make(delay=0.0)

    def done(self) -> None:
        self.new()
        self.worker.succeed(self.claimed)

    def attempts_left(self) -> None:
        self.new()
        self.worker.end(self.claimed, status=Status.ATTEMPTS_LEFT, outcome=RunOutcome.ERROR, charge=1)

    def canceled(self) -> None:
        self.make()
        self.rig.cancel(self.id)

    @property
    def claimed(self) -> Claimed:
        assert self.held is not None
        return self.held

    # What moves it on

    def lose_too_often(self) -> None:
        for _ in range(MAX_LOSSES - 1):
            self.lose()
            self.claim()
        self.lose()

    def expire(self) -> None:
        if self.held is not None:
            self.worker.hand_back(self.held)
        with psycopg.connect(self.rig.database.dsn) as connection:
            connection.execute("update goque.task set expires_at = now()")
        assert self.rig.database.all(cancel.expire()) == [self.id]

    def share(self, outcome: Status) -> None:
        getattr(self, outcome)()
        source = self.id
        self.id = self.rig.follower(self.lane, source, 7)
        self.worker.share(source)


Act = Callable[[Stage], Any]
WORKER: dict[Status, Act] = {
    Status.PROCESSING: lambda on: on.worker.start(on.claimed),
    Status.DONE: lambda on: on.worker.succeed(on.claimed),
    Status.ERROR: lambda on: on.worker.fail(on.claimed),
    Status.ATTEMPTS_LEFT: lambda on: on.worker.end(
        on.claimed, status=Status.ATTEMPTS_LEFT, outcome=RunOutcome.ERROR, charge=1
    ),
    Status.CANCELED: lambda on: on.worker.end(on.claimed, status=Status.CANCELED, outcome=RunOutcome.CANCELED),
    Status.PENDING: lambda on: on.worker.snooze(on.claimed),
    Status.NEW: lambda on: on.worker.stop(on.claimed),
}


def act_of(move: Move) -> Act:
    """What makes this move, once a task is in its first state."""
    if move.by == "worker":
        return WORKER[move.after]
    if move.by == "healer":
        return Stage.lose if move.before is Status.PROCESSING else Stage.lose_too_often
    if move.by == "expiry":
        return Stage.expire
    if move.by == "promotion":
        return lambda on: on.rig.promote()
    if move.by == "person" and move.after is Status.CANCELED:
        return lambda on: on.rig.cancel(on.id)
    if move.by == "person":
        return lambda on: on.rig.retry(on.id, reset=True, force=move.before is Status.DONE)
    return lambda on: on.share(move.after)


@pytest.fixture
def rig(database: Database) -> Rig:
    moves.note(database.dsn)
    return Rig(database)


@pytest.mark.parametrize("move", MOVES, ids=lambda move: f"{move.before}-{move.after}-{move.by}")
def test_each_move_is_made_by_whom_it_says(rig: Rig, move: Move) -> None:
    stage = Stage(rig)
    last_attempt = move.by == "healer" and move.before is Status.PROCESSING and move.after in FINAL
    if move.by != "release":  # its task is made beside the one whose outcome it shares
        getattr(stage, move.before)(**({"max_attempts": 1} if last_attempt else {}))
        assert rig.row(stage.id).status == move.before
    act_of(move)(stage)
    assert rig.row(stage.id).status == move.after
    assert moves.noted(rig.database.dsn, stage.id)[-1] == (move.before, move.after)
    assert rig.broken() == []
    stage.worker.connection.close()


def test_a_move_that_there_is_not_fails_in_every_test_that_uses_the_rig(rig: Rig) -> None:
    stage = Stage(rig)
    stage.done()
    with psycopg.connect(rig.database.dsn) as connection, pytest.raises(psycopg.Error, match="done -> processing"):
        connection.execute("update goque.task set status = 'processing', seq = null")
    stage.worker.connection.close()

"""A worker's desk with its claimer and its completer, over connections that break where a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from goque.errors import DatabaseError, DatabaseUnavailable
from goque.model.eligibility import Eligibility
from goque.model.outcomes import Outcome
from goque.payload.keys import KeyRing
from goque.sql import Statement
from goque.worker.claimer import Claimer
from goque.worker.completer import Completer
from goque.worker.desk import Desk, Ended, Held, Me
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

    def hear(self) -> None:
        """There is word of work, and no look is rested for that took long."""
        self.claimer.look_again()
        self.claimer._whole.cost = self.claimer._newest.cost = 0.0

    def claim(self) -> list[Held]:
        """Look and claim; what became ready."""
        self.hear()
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

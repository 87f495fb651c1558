"""The statements against the model, in sequences that Hypothesis makes up; with some mistakes, which those find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from goque.errors import DatabaseError
from goque.model.states import RunOutcome, Status
from goque.postgres.database import Database
from goque.queries import cancel, claim, deleting, duplicates, finish, upkeep, workers
from goque.sql.statement import Template
from tests.model import Queue
from tests.rig import Rig

OFTEN = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.fixture
def machine(database: Database) -> Any:
    """The state machine on a database of this test's own."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        rig = Rig(database)
        rig.kept = connection
        yield type("Queue", (Queue,), {"rig": rig, "connection": connection})


def test_every_statement_does_what_the_model_says(machine: Any) -> None:
    run_state_machine_as_test(machine, settings=OFTEN)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(3))
def test_every_statement_does_what_the_model_says_for_long(machine: Any, part: int) -> None:
    """With other examples at each run; a failure prints how to repeat it."""
    run_state_machine_as_test(machine, settings=settings(OFTEN, max_examples=1_000, derandomize=False, print_blob=True))


class Mistake(NamedTuple):
    """A statement that is spoiled, and the acts among which it shows: with all of them it takes longer to be met."""

    template: Template[Any]
    spoil: Callable[[str], str]
    acts: str


def without(part: str, put: str = "") -> Callable[[str], str]:
    return lambda text: text.replace(part, put)


MISTAKES = {
    "the fence is gone": Mistake(
        finish._succeed,
        without('"task"."run"="ended"."run" AND "task"."worker_id"=%(worker)s::bigint AND '),
        "succeed come_back_late",
    ),
    "a batch is deleted that is unfinished": Mistake(
        deleting._needs, without('"counts"."unfinished"', "0::bigint"), "delete"
    ),
    "a claim does not raise the run": Mistake(claim._claim, without('"run"="task"."run"+1', '"run"="task"."run"'), ""),
    "an attempt is not counted": Mistake(
        finish._end,
        without('"attempts"=("task"."attempts"+"locked"."charge")', '"attempts"=("task"."attempts")'),
        "fail",
    ),
    "the living are healed": Mistake(
        upkeep._heal, without('("worker"."lost_at" IS NOT NULL OR "worker"."ended_at" IS NOT NULL)', "true"), ""
    ),
    "a lost run leaves no record": Mistake(
        upkeep._heal, without('"error" FROM "locked" ON CONFLICT', '"error" FROM "locked" WHERE false ON CONFLICT'), ""
    ),
    "who is well is counted as missing": Mistake(
        workers._beat, without('"missed"=0', '"missed"="worker"."missed"'), "look"
    ),
    "a final task is canceled": Mistake(
        cancel._cancel_tasks,
        without(""" AND "task"."status" IN ('error','new','pending','processing')"""),
        "cancel succeed",
    ),
    "a canceled task keeps its external id": Mistake(
        cancel._cancel_tasks, without('"external_id"."task_id"="canceled"."id"', "false"), "cancel enqueue_once"
    ),
    "a follower is released twice": Mistake(
        duplicates._share, without(""" AND "locked"."before"='pending'"""), "cancel enqueue_once share succeed"
    ),
}
ALWAYS = "claim lose heal"
"""Acts that others are made of."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_model_finds_a_mistake(machine: Any, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    template, spoil, acts = MISTAKES[mistake]
    assert template.text
    compiled, read = template._ready or pytest.fail("it was compiled by its text")
    text = spoil(compiled.text)
    assert text != compiled.text, "the statement is worded in another way now"
    values = {name: getattr(compiled, name) for name in compiled.__dataclass_fields__}
    monkeypatch.setattr(template, "_ready", (type(compiled)(**values | {"text": text}), read))
    every = {name for name, act in vars(Queue).items() if hasattr(act, "hypothesis_stateful_rule")}
    left_out = every - set(f"{ALWAYS} {acts}".split())
    assert set(acts.split()) <= every
    quickly = settings(OFTEN, max_examples=200, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises((AssertionError, KeyError, DatabaseError)):
        run_state_machine_as_test(type("Part", (machine,), dict.fromkeys(left_out)), settings=quickly)


def test_an_outcome_that_comes_before_the_cancel_is_seen_stays(database: Database) -> None:
    """The one order of events in which a cancel and a success both happen to a task."""
    rig = Rig(database)
    lane, worker = rig.lane(), rig.worker()
    [id] = rig.tasks(lane, 1)
    [one] = worker.claim(lane)
    assert worker.succeed(one) == [id]
    assert rig.cancel(id) == []
    assert worker.settle(one) == []
    assert rig.row(id).status == Status.DONE
    assert rig.runs(id) == []
    assert worker.end(one, status=Status.CANCELED, outcome=RunOutcome.CANCELED) == {}
    worker.connection.close()

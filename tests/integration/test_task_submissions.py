"""What a task submits: there with its outcome, once, signed, with its metadata; and nothing of it when it fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

import goque
from goque import Queue, Status
from goque.postgres.database import Database
from goque.queries import finish
from goque.queries.enqueue import Single
from goque.queries.spawning import spawn
from tests.conftest import _new_database
from tests.integration import shop
from tests.integration.conftest import SECRET, until
from tests.rig import Rig


@pytest.fixture(scope="module", params=["process", "thread"])
def q(request: pytest.FixtureRequest, server_dsn: str, template_database: str) -> Iterator[Queue]:
    """A queue with one worker of two slots that runs functions and the shop's types."""
    with (
        _new_database(server_dsn, f"goque_spawn_{request.param}", template=template_database) as dsn,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("GOQUE_SECRET", SECRET)
        with Queue(dsn, owner="tester") as queue:
            queue.start_workers(2, pool=request.param, app=shop.jobs)
            yield queue


def marked(q: Queue, mark: str) -> list[Any]:
    """The tasks whose metadata have this mark, oldest first."""
    frame = q.tasks()
    ids = [id for id, found in zip(frame["id"], frame["metadata"], strict=True) if (found or {}).get("mark") == mark]
    return [q.task(int(id)) for id in reversed(ids)]


def test_what_a_task_submits_runs_as_its_owner_with_its_metadata(q: Queue) -> None:
    factor = 3

    def times(x: int, plus: int = 0) -> Any:
        return x * factor + plus, goque.context().metadata

    def parent() -> str:
        here = goque.context()
        here.submit(times, 1, plus=1)
        here.options(metadata={"more": 1}, priority=7, max_attempts=9, timeout="1m", tags=[]).submit(times, 2)
        here.map(times, [3, 4])
        here.enqueue("echo", {"a": [1]}, priority=3)
        return "parent"

    task = q.options(metadata={"mark": "runs"}).submit(parent)
    assert task.result(timeout=30) == "parent"
    # Visible in the transaction that wrote the outcome: they are there as soon as the result is.
    tasks = marked(q, "runs")
    assert len(tasks) == 6
    assert [one.result(timeout=30) for one in tasks[1:]] == [
        (4, {"mark": "runs"}),
        (6, {"mark": "runs", "more": 1}),
        (9, {"mark": "runs"}),
        (12, {"mark": "runs"}),
        {"a": [1]},
    ]
    frame = q.tasks().set_index("id").loc[[one.id for one in tasks]]
    assert set(frame["owner"]) == {"tester"}
    assert list(frame["priority"]) == [0, 0, 7, 0, 0, 3]
    assert tasks[2]._row().max_attempts == 9


def test_the_options_of_a_type_hold_for_what_a_task_enqueues(q: Queue) -> None:
    def parent() -> None:
        goque.context().enqueue("send_email", shop_email)

    shop_email = {"to": "ann"}
    q.options(metadata={"mark": "type"}).submit(parent).result(timeout=30)
    _, child = marked(q, "type")
    assert child.result(timeout=30) == "Email to ann, 0 copies"
    assert (child._row().queue, child._row().max_attempts) == ("mail", 5)


def test_a_type_s_task_submits_as_well(q: Queue) -> None:
    task = q.enqueue("spawning", 2, metadata={"mark": "deep"})
    assert task.result(timeout=30) == 2
    until(lambda: len(marked(q, "deep")) == 3, "the last of them is there")
    assert [one.result(timeout=30) for one in marked(q, "deep")] == [2, 1, 0]


def test_nothing_of_it_is_there_when_the_attempt_fails_and_once_when_a_later_one_succeeds(q: Queue) -> None:
    def parent() -> None:
        goque.context().submit(pow, 2, 2)
        if goque.context().attempt < 3:
            raise ValueError("not yet")

    task = q.options(metadata={"mark": "later"}, retry=[0, 0]).submit(parent)
    task.wait(timeout=30)
    assert [one.result(timeout=30) for one in marked(q, "later")] == [None, 4]
    failed = q.options(metadata={"mark": "never"}, max_attempts=2, retry=[0]).submit(parent)
    failed.wait(timeout=30)
    assert failed.status is Status.ATTEMPTS_LEFT
    assert marked(q, "never") == [failed]


def test_a_delay_a_retry_policy_and_an_expiry_travel(q: Queue) -> None:
    def parent() -> None:
        def fail() -> None:
            raise OSError("always")

        here = goque.context()
        here.options(delay="1h", expires="2h").submit(pow, 1, 1)
        here.options(retry=lambda attempt, error: 0 if attempt < 2 else None, max_attempts=9).submit(fail)

    q.options(metadata={"mark": "options"}).submit(parent).result(timeout=30)
    _, waiting, failing = marked(q, "options")
    row = q.tasks().set_index("id").loc[waiting.id]
    assert (waiting.status, waiting.waiting_for) == (Status.PENDING, "time")
    assert (row["expires_at"] - row["run_at"]).total_seconds() == 3600
    assert isinstance(failing.exception(timeout=30), OSError)
    assert failing.attempts == 2
    waiting.cancel()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda here: here.options(external_id="x").submit(pow, 1, 1), "external_id cannot be given inside a task"),
        (lambda here: here.options(prioritty=1).submit(pow, 1, 1), "no option 'prioritty'"),
        (lambda here: here.submit(5), "pass f itself"),
        (lambda here: here.map(pow, range(20_000), range(20_000)), "10,000"),
        (lambda here: [here.map(pow, range(6_000), range(6_000)) for _ in range(2)], "10,000"),
        (lambda here: here.enqueue("echo", {1, 2}), "JSON"),
    ],
    ids=["external id", "unknown", "pass f itself", "too many", "too many in all", "no JSON"],
)
def test_what_cannot_be_submitted_is_an_error_in_the_task(q: Queue, ask: Any, said: str) -> None:
    def parent() -> None:
        try:
            ask(goque.context())
        except goque.InvalidInput as error:
            raise goque.GiveUp(str(error)) from None

    assert said in str(q.submit(parent).exception(timeout=60))


def test_a_context_of_a_task_that_has_ended_submits_nothing(q: Queue) -> None:
    def asks_too_late() -> str:
        here = goque.context()
        earlier = dataclasses.replace(here, _serial=here._serial - 1)
        try:
            earlier.submit(pow, 1, 1)
        except goque.InvalidInput as error:
            return str(error)
        return "it went through"

    assert "has ended" in q.submit(asks_too_late).result(timeout=30)


def test_a_notebook_s_own_worker_serves_what_its_tasks_submit(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves the lanes of its owner only, and the new lane is nobody's who submitted it there."""
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    with Queue(dsn, owner="tester", workers=1) as own:
        own.options(metadata={"mark": "own"}).submit(lambda: goque.context().submit(pow, 2, 3)).result(timeout=30)
        assert [one.result(timeout=30) for one in marked(own, "own")] == [None, 8]


# The statement itself


def test_only_the_worker_that_wrote_this_very_run_as_done_makes_them_and_once(database: Database) -> None:
    rig = Rig(database)
    lane = rig.lane()
    parent, other = rig.tasks(lane, 2)
    worker, stranger = rig.worker(), rig.worker()
    held = {task.id: task for task in worker.claim(lane)}
    child = Single(id=77, lane=lane, args=b"x", max_attempts=1)

    def spawned(by: Any, run: int, id: int = parent) -> list[int]:
        return [task for task, _ in by.connection.all(spawn(by.id, [(id, run, child)]))]

    assert spawned(worker, 1) == []
    assert worker.succeed(held[parent]) == [parent]
    assert spawned(stranger, 1) == spawned(worker, 2) == spawned(worker, 1, other) == []
    assert spawned(worker, 1) == [77]
    assert spawned(worker, 1) == []
    assert rig.broken() == []
    with pytest.raises(goque.DatabaseError, match="7"), database.transaction() as transaction:
        transaction.run(finish.succeed(worker.id, [finish.Success(other, 1, b"r", 0.0, 0.1, 0.1, 1.0, None)]))
        assert [id for id, _ in transaction.all(spawn(worker.id, [(other, 1, child._replace(id=78))]))] == [78]
        raise goque.DatabaseError("78 must not stay")
    assert 78 not in rig.rows()

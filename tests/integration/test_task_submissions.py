"""What a task submits: there with its outcome, once, signed, with its metadata; and nothing of it when it fails."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import goque
from goque import Queue, Status
from goque.model.identity import SPAN
from goque.postgres.database import Database
from goque.queries import finish
from goque.queries.enqueue import Single
from goque.queries.spawning import forget_holders, spawn
from tests.conftest import _new_database
from tests.integration import shop
from tests.integration.conftest import SECRET, until
from tests.rig import Rig


@pytest.fixture(scope="module", params=["process", "thread"])
def q(request: pytest.FixtureRequest, server_dsn: str, template_database: str) -> Iterator[Queue]:
    """A queue with one worker of two slots that runs functions and the shop's types."""
    with (
        _new_database(server_dsn, f"goque_spawn_{request.param}_{os.getpid()}", template=template_database) as dsn,
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


def test_an_external_id_makes_one_task_whoever_asks_for_it(q: Queue) -> None:
    def parent(number: int) -> None:
        here = goque.context()
        here.enqueue("echo", number, external_id="once 1")
        here.enqueue("echo", number, external_id="once 1")
        here.enqueue("echo", number, external_id=f"once of {number}")
        here.options(external_id=lambda base, _: f"power of {base}").map(pow, [2, 3, 2], [2, 2, 2])

    outside = q.enqueue("echo", "outside", external_id="once of 1", metadata={"mark": "ids"})
    with q.pipeline():
        parents = [q.options(metadata={"mark": "ids"}).submit(parent, number) for number in range(6)]
    for one in parents:
        one.result(timeout=30)
    made = [one for one in marked(q, "ids") if one not in parents]
    results = Counter(str(one.result(timeout=30)) for one in made)
    ids = Counter(q.tasks().set_index("id").loc[[one.id for one in made], "external_id"])
    expected = ["once 1", *(f"once of {number}" for number in range(6)), "power of 2", "power of 3"]
    assert ids == Counter(expected)
    assert results["4"] >= 1
    assert results["outside"] == 1
    [power] = [one for one in made if one.external_id == "power of 3"]
    again = q.options(external_id="power of 3").submit(pow, 3, 2)
    assert (again.is_duplicate, again.id, again.result()) == (True, power.id, 9)
    assert q.enqueue("echo", 0, external_id="once of 1").id == outside.id


def test_an_external_id_that_a_failed_task_had_is_taken_again(q: Queue) -> None:
    def fails() -> None:
        raise goque.GiveUp("no")

    def parent() -> None:
        goque.context().options(external_id="second try").submit(fails)

    for number in (1, 2):
        q.options(metadata={"mark": "again"}).submit(parent).result(timeout=30)
        children = [one for one in marked(q, "again") if one.external_id == "second try"]
        assert len(children) == number
        children[-1].exception(timeout=30)


@pytest.mark.parametrize("commits", [True, False])
def test_an_id_in_an_open_transaction_holds_up_only_the_outcome_that_wants_it(
    q: Queue, commits: bool, tmp_path: Path
) -> None:
    mark, id = f"open {commits}", f"held {commits}"

    def parent(mark: str, id: str, ran: Path) -> str:
        goque.context().options(metadata={"mark": mark}).enqueue("echo", "child", external_id=id)
        ran.touch()
        return "parent"

    with psycopg.connect(q.dsn) as connection:
        connection.execute("select goque.enqueue('echo', '\"person\"', external_id => %s)", (id,))
        waiting = q.submit(parent, mark, id, tmp_path / "ran")
        until((tmp_path / "ran").exists, "it has run")
        assert goque.gather(*[q.submit(pow, 2, number) for number in range(20)], timeout=2.5)[-1] == 2**19
        assert not waiting.done()
        if commits:
            connection.commit()
        else:
            connection.rollback()
    assert waiting.result(timeout=30) == "parent"
    assert waiting.attempts == 1
    assert [one.result(timeout=30) for one in marked(q, mark)] == ([] if commits else ["child"])
    assert q.enqueue("echo", "late", external_id=id).result(timeout=30) == ("person" if commits else "child")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda here: here.options(on_duplicate="error").submit(pow, 1, 1), "on_duplicate cannot be given inside"),
        (lambda here: here.options(external_id="x").map(pow, [1], [1]), "external_id is a callable of the item for a"),
        (lambda here: here.options(external_id="").submit(pow, 1, 1), "external_id must have 1 to 500 characters"),
        (lambda here: here.options(prioritty=1).submit(pow, 1, 1), "no option 'prioritty'"),
        (lambda here: here.submit(5), "pass f itself"),
        (lambda here: here.map(pow, range(20_000), range(20_000)), "10,000"),
        (lambda here: [here.map(pow, range(6_000), range(6_000)) for _ in range(2)], "10,000"),
        (lambda here: here.enqueue("echo", {1, 2}), "JSON"),
    ],
    ids=[
        "on_duplicate",
        "one id for a map",
        "empty id",
        "unknown",
        "pass f itself",
        "too many",
        "too many in all",
        "no JSON",
    ],
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


def test_external_ids_are_taken_by_whom_the_fence_lets_in_and_from_batches_that_are_gone(database: Database) -> None:
    rig = Rig(database)
    lane = rig.lane()
    parent, other = rig.tasks(lane, 2)
    worker = rig.worker()
    held = {task.id: task for task in worker.claim(lane)}
    wanted = [Single(id, lane, b"x", 1, external_id=f"id {id}") for id in (71, 72)]
    rig.ask("insert into goque.deleted_batch (id, total) values (4711, 1) returning id")
    gone = 4711 * SPAN
    rig.ask(f"insert into goque.external_id select type, 'id 72', {gone} from goque.lane returning task_id")

    def spawned(parent: int, run: int = 1) -> list[int]:
        asked = [(parent, run, one) for one in wanted]
        return sorted(task for task, _ in worker.connection.all(spawn(worker.id, asked)))

    assert spawned(parent) == []
    assert [row.external_id for row in rig.ask("select * from goque.external_id")] == ["id 72"]
    worker.succeed(held[parent], held[other])
    assert spawned(parent) == [71]
    assert worker.connection.run(forget_holders(wanted)) == 1
    assert spawned(other) == [72]
    assert spawned(parent) == spawned(other) == []
    assert rig.broken() == []

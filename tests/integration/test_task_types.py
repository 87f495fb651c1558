"""Named task types from enqueue to a worker's child: payloads, options, hooks, concurrency, registries of notebooks."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

import goque
from goque import InvalidInput, PayloadError, Queue, Status, TaskCanceled, UnknownOption
from tests.conftest import _new_database
from tests.integration import shop
from tests.integration.conftest import SECRET, until
from tests.integration.shop import Email


@pytest.fixture(scope="module", params=["process", "thread"])
def q(request: pytest.FixtureRequest, server_dsn: str, template_database: str) -> Iterator[Queue]:
    """A queue with one worker of two slots that runs the shop's types."""
    with (
        _new_database(server_dsn, f"goque_types_{request.param}_{os.getpid()}", template=template_database) as dsn,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("GOQUE_SECRET", SECRET)
        with Queue(dsn, owner="tester") as queue:
            queue.start_workers(2, pool=request.param, app=shop.jobs)
            yield queue


def test_a_payload_arrives_and_a_result_comes_back(q: Queue) -> None:
    payload = {"text": "\u00e9\u4e2d", "list": [1, 2.5, None, True], "nested": {"a": {}}, "large": 2**70}
    task = q.enqueue("echo", payload)
    assert task.result(timeout=30) == payload
    assert (task.args, task.kwargs) == ((payload,), {})
    assert q.enqueue("echo").result(timeout=20) is None
    assert q.enqueue("tick").result(timeout=20) == "tock"


def test_a_large_payload_arrives_too(q: Queue) -> None:
    payload = ["x" * 1000] * 100
    assert q.enqueue("echo", payload).result(timeout=20) == payload


def test_the_type_s_options_hold_where_none_are_given_also_for_a_caller_without_its_code(q: Queue) -> None:
    with Queue(q.dsn, owner="somebody else") as other:
        task = other.enqueue("send_email", {"to": "ann"})
        changed = other.options(max_attempts=2).enqueue("send_email", {"to": "bob"}, queue="default")
        assert task.result(timeout=20) == "Email to ann, 0 copies"
        row = q.tasks().set_index("id").loc[[task.id, changed.id]]
        assert list(row["queue"]) == ["mail", "default"]
        assert list(row["priority"]) == [2, 2]
        assert (task._row().max_attempts, changed._row().max_attempts) == (5, 2)


def test_a_dataclass_is_enqueued_as_json_and_made_again_in_the_child(q: Queue) -> None:
    assert q.enqueue("send_email", Email("ann", 3)).result(timeout=20) == "Email to ann, 3 copies"


def test_a_typed_dict_and_a_pydantic_model_are_made_in_the_child_too(q: Queue) -> None:
    tasks = [
        q.enqueue("send_draft", shop.Draft(to="ann")),
        q.enqueue("send_draft", {"to": "ann", "copies": 2}),
        q.enqueue("send_letter", shop.Letter(to="bob")),
        q.enqueue("send_letter", {"to": "bob", "copies": 3}),
    ]
    assert [task.result(timeout=20) for task in tasks] == [
        "to ann, 0 copies",
        "to ann, 2 copies",
        "Letter to bob, 0 copies",
        "Letter to bob, 3 copies",
    ]
    for type in ("send_draft", "send_letter"):
        task = q.enqueue(type, {"copies": 1})
        assert isinstance(task.exception(timeout=20), PayloadError)
        assert "to" in str(task.exception())
        assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 1)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "payload lacks to for Email"),
        ({"to": "a", "subject": "b"}, "payload has subject, which Email does not know"),
        ({"to": 5}, "payload.to is a whole number, not str"),
        (["to"], "payload is a list, not Email"),
    ],
)
def test_a_payload_that_does_not_fit_fails_at_once_and_says_why(q: Queue, payload: Any, said: str) -> None:
    task = q.enqueue("send_email", payload)
    error = task.exception(timeout=20)
    assert isinstance(error, PayloadError)
    assert str(error) == said
    assert (task.status, task.attempts) == (Status.ATTEMPTS_LEFT, 1)


def test_hooks_run_around_the_task_in_order_and_a_failing_one_changes_nothing(q: Queue) -> None:
    task = q.enqueue("hooked", "fine")
    assert task.result(timeout=20) == "fine"
    said = task.logs
    order = ("before 1", "second before 1", "in between", "this hook is broken", "after done fine None")
    places = [said.index(text) for text in order]
    assert places == sorted(places)
    failed = q.enqueue("hooked", "fail")
    assert isinstance(failed.exception(timeout=20), ValueError)
    assert "after error None ValueError('no')" in failed.logs


def test_an_after_hook_is_told_of_a_result_that_cannot_be_stored(q: Queue) -> None:
    task = q.enqueue("secretive")
    assert isinstance(task.exception(timeout=20), goque.NotSerializable)
    assert "after error NotSerializable" in task.logs
    assert "after done" not in task.logs


def test_a_before_hook_may_cancel(q: Queue) -> None:
    task = q.enqueue("hooked", 1, metadata={"veto": True})
    with pytest.raises(TaskCanceled, match="the hook said no"):
        task.result(timeout=20)
    assert "in between" not in task.logs
    assert "after canceled" in task.logs


def test_a_before_hook_may_snooze_which_charges_nothing(q: Queue) -> None:
    task = q.enqueue("hooked", "in time", metadata={"later": True})
    assert task.result(timeout=20) == "in time"
    assert (task.attempts, q.history(task=task.id, order_by="run")["outcome"].tolist()) == (1, ["snoozed", "done"])
    [snoozed] = q.history(task=task.id, status="pending", columns=["log_tail"])["log_tail"]
    assert ("after snoozed" in snoozed, "in between" in snoozed) == (True, False)


def test_the_type_s_retry_policy_decides_unless_the_submitter_gives_one(q: Queue) -> None:
    def tried(payload: str, **options: Any) -> int:
        task = q.enqueue("failing", payload, **options)
        assert isinstance(task.exception(timeout=20), ValueError | KeyError)
        return task.attempts

    assert tried("value") == 2
    assert tried("value", max_attempts=4) == 4
    assert tried("key", max_attempts=4) == 1
    assert tried("key", max_attempts=4, retry=[0]) == 2


def test_a_type_s_concurrency_bounds_it_within_a_worker_and_others_not(q: Queue, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("narrow", "wide")}
    for folder in folders.values():
        folder.mkdir()

    def most(name: str) -> int:
        with q.pipeline():
            tasks = [q.enqueue(name, str(folders[name])) for _ in range(4)]
        return max(task.result(timeout=30) for task in tasks)

    assert most("narrow") == 1
    assert most("wide") == 2


def test_external_ids_are_unique_per_type(q: Queue) -> None:
    task = q.enqueue("echo", 1, external_id="order-1")
    again = q.enqueue("echo", 2, external_id="order-1")
    other = q.enqueue("tick", external_id="order-1")
    assert (again.id, again.is_duplicate, again.result(timeout=20)) == (task.id, True, 1)
    assert not other.is_duplicate
    with pytest.raises(goque.DuplicateTask):
        q.enqueue("echo", 3, external_id="order-1", on_duplicate="error")


def test_a_failed_task_of_a_type_is_retried_with_its_payload(q: Queue) -> None:
    task = q.enqueue("failing", "key")
    assert isinstance(task.exception(timeout=20), KeyError)
    assert task.retry().changed == 1
    assert isinstance(task.exception(timeout=20), KeyError)
    assert task._row().run == 2


def test_a_worker_takes_no_type_that_it_does_not_have(q: Queue) -> None:
    task = q.enqueue("unheard_of")
    assert "tick" in q.workers(alive=True)["types"][0]
    sentinel = q.enqueue("tick")
    assert sentinel.result(timeout=20) == "tock"
    assert (task.status, task.waiting_for) == (Status.NEW, "type unheard_of")
    with pytest.raises(InvalidInput, match="jobs.run"):
        task.run_here()
    task.cancel()


def forged(q: Queue, type: str, *, args: bytes | None = None, policy: bytes | None = None) -> goque.Task:
    """A task of a type as somebody puts it there who holds no key."""
    with psycopg.connect(q.dsn) as connection:
        lane = connection.execute(
            "insert into goque.lane (digest, queue, type, policy, owner)"
            " values (md5(random()::text), 'default', %s, %s, 'me') returning id",
            (type, policy),
        ).fetchone()
        assert lane is not None
        task = connection.execute(
            "insert into goque.task (lane_id, seq, args, max_attempts) values (%s, 1, %s, 1) returning id",
            (*lane, args),
        ).fetchone()
        connection.execute("insert into goque.tally (lane_id, new) values (%s, 1)", lane)
        connection.execute("select pg_notify('goque_goque', 'work:')")
    assert task is not None
    return q.task(task[0])


def test_a_pickle_in_the_place_of_a_payload_is_never_loaded(q: Queue, tmp_path: Path) -> None:
    task = forged(q, "echo", args=pickle.dumps(Touch(str(tmp_path / "loaded"))))
    assert str(task.exception(timeout=20)) == "the payload of this task is no JSON"
    assert not (tmp_path / "loaded").exists()


def test_a_retry_policy_without_a_signature_is_refused(q: Queue, tmp_path: Path) -> None:
    task = forged(q, "failing", policy=pickle.dumps(Touch(str(tmp_path / "loaded"))))
    with pytest.raises(TaskCanceled):
        task.result(timeout=20)
    assert not (tmp_path / "loaded").exists()


def test_a_row_without_a_payload_is_called_with_none(q: Queue) -> None:
    assert forged(q, "echo").result(timeout=20) is None


class Touch:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def test_types_have_bounds_of_their_own_side_by_side_in_one_worker(alone: Queue, tmp_path: Path) -> None:
    jobs = goque.Registry()

    def wait_for_gate(type: str) -> None:
        import pathlib
        import time

        pathlib.Path(folder, f"{type}-{time.monotonic_ns()}").touch()
        while not pathlib.Path(folder, "gate").exists():
            time.sleep(0.01)

    def running() -> Counter[str]:
        return Counter(path.name.partition("-")[0] for path in tmp_path.glob("*-*"))

    folder = str(tmp_path)
    for type, bound in {"one": 1, "two": 2, "many": None}.items():
        jobs.task(type, concurrency=bound)(wait_for_gate)
    jobs.task("tick")(lambda: "tock")
    waiting = [alone.enqueue(type, type) for type in ("one", "two") for _ in range(5)]
    waiting += [alone.enqueue("many", "many") for _ in range(3)]
    alone.start_workers(7, pool="thread", app=jobs)
    until(lambda: running() == {"one": 1, "two": 2, "many": 3}, "each type runs as often as it may")
    # A seventh slot is free, and stays free for others.
    assert [alone.enqueue("tick").result(timeout=20) for _ in range(3)] == ["tock"] * 3
    assert running() == {"one": 1, "two": 2, "many": 3}
    (tmp_path / "gate").touch()
    goque.wait(waiting, timeout=30)
    assert {task.status for task in waiting} == {Status.DONE}


@pytest.mark.slow
def test_a_cell_that_is_run_again_replaces_the_worker_s_code(alone: Queue) -> None:
    def serve(answer: str) -> None:
        jobs = goque.Registry()

        @jobs.task("ask")
        def ask() -> str:
            return answer

        alone.start_workers(1, app=jobs)

    serve("first")
    assert alone.enqueue("ask").result(timeout=30) == "first"
    serve("second")
    until(lambda: len(alone._core.local.pids()) == 1, "the first worker has ended")
    assert alone.enqueue("ask").result(timeout=30) == "second"


# What needs no worker


@pytest.mark.parametrize(
    "payload", [object(), {1, 2}, float("nan"), "a\0b", {"a": b"bytes"}], ids=["object", "set", "nan", "nul", "bytes"]
)
def test_what_is_no_json_is_refused_and_nothing_is_stored(alone: Queue, stored: Any, payload: Any) -> None:
    with pytest.raises(PayloadError):
        alone.enqueue("echo", payload)
    assert stored() == (0, 0)


def test_options_of_maps_and_unknown_ones_are_refused(alone: Queue, stored: Any) -> None:
    with pytest.raises(InvalidInput, match="option of maps"):
        alone.enqueue("echo", 1, name="nightly")
    with pytest.raises(UnknownOption, match="priority"):
        alone.enqueue("echo", 1, prioritty=1)
    with pytest.raises(InvalidInput, match="task type"):
        alone.enqueue("", 1)
    assert stored() == (0, 0)


def test_two_apps_with_a_type_of_one_name_are_refused(alone: Queue) -> None:
    other = goque.Registry()
    other.task("echo")(lambda payload: payload)
    with pytest.raises(goque.AppUnusable, match="'echo'"):
        alone.start_workers(1, app=[shop.jobs, other])
    with pytest.raises(goque.AppUnusable, match="No module named 'nowhere'"):
        alone.start_workers(1, app="nowhere:jobs")
    assert alone._core.local.pids() == []


def test_nothing_is_pickled_and_no_key_is_needed(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOQUE_SECRET", raising=False)
    moment = datetime.fromisoformat("2026-11-24T03:00:00+01:00")
    with Queue(dsn, owner="tester") as queue:
        queue._core.database.run(goque.queries.settings.set_setting("signed", {"since": "7f3a"}))
        task = queue.enqueue("echo", {"at": moment}, delay="1h")
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select t.args, t.payload, l.function_id, l.key_ids from goque.task t join goque.lane l on l.id = lane_id"
        ).fetchone()
    assert row == (None, {"at": "2026-11-24T03:00:00+01:00"}, None, [])
    assert task.id


def test_who_waits_for_a_type_that_nobody_has_is_told_what_to_start(
    alone: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from goque.app.reasons import nobody_can
    from goque.cli import main

    task = alone.enqueue("send_email", {"to": "ann"})
    said = nobody_can(alone._core, task._row().lane) or ""
    assert "the task type send_email" in said
    assert "goque worker --app package.module:jobs" in said
    alone.options(tags=["gpu"]).submit(abs, 1)
    monkeypatch.setenv("GOQUE_DSN", alone.dsn)
    assert main(["status"]) == 0
    assert "start one with: goque worker --tags gpu --app package.module:jobs\n" in capsys.readouterr().out

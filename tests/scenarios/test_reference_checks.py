"""Where the Go system that goque takes after is weak: what becomes of work when workers die, lag, or their clocks err.

Each weakness, and the tests that show what goque does instead: docs/from-go-goque.md.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import goque
from goque import Queue, Status
from tests.integration.conftest import until
from tests.integration.test_cleaning import age
from tests.scenarios.conftest import Works, works

pytestmark = [pytest.mark.slow, pytest.mark.once]
HURRIED = "tests.hurried_worker"  # a lease of two seconds


@pytest.fixture
def scene(server_dsn: str, template_database: str, tmp_path: Path) -> Iterator[Works]:
    with works(server_dsn, template_database, "checks", tmp_path) as made:
        yield made


def task_holder(q: Queue, task: goque.Task) -> int:
    """The pid of the worker that runs it."""
    [pid] = q.workers().set_index("id").loc[[task.worker], "pid"]
    return int(pid)


def began(folder: Path) -> int:
    return len(list(folder.glob("began-*")))


def test_a_long_task_runs_once_while_its_worker_lives_and_elsewhere_within_seconds_when_it_is_killed(
    scene: Works, tmp_path: Path
) -> None:
    q = scene.queue
    workers = [scene.serve("--concurrency", "1", "--log-format", "json", program=HURRIED) for _ in range(2)]
    task = q.enqueue("gated", str(tmp_path))
    scene.ready()
    until(lambda: task.status is Status.PROCESSING, "it runs")
    began_at = q.now()
    until(lambda: (q.now() - began_at).total_seconds() > 2.5, "it has run for longer than a lease")
    assert began(tmp_path) == 1

    [holder] = [worker for worker in workers if worker.pid == task_holder(q, task)]
    killed_at = q.now()
    holder.kill()
    until(lambda: began(tmp_path) == 2, "another worker has taken it", patience=60)
    assert (q.now() - killed_at).total_seconds() < 10
    (tmp_path / "gate").touch()
    assert task.result(timeout=30) == "through"
    assert list(q.history(task=task.id, order_by="run")["outcome"]) == ["lost", "done"]
    assert task.attempts == 2
    # The other one has told of it.
    told = {one["event"]: one for line in scene.log.read_text().splitlines() if "event" in (one := json.loads(line))}
    assert (told["WorkersLost"]["itself"], len(told["WorkersLost"]["workers"])) == (False, 1)
    assert told["TasksHealed"]["by_status"] == {"error": 1}


def test_of_four_workers_each_task_of_a_killed_one_is_healed_by_one(scene: Works, tmp_path: Path) -> None:
    q = scene.queue
    with q.pipeline():
        tasks = [q.enqueue("gated", str(tmp_path)) for _ in range(20)]
    killed = scene.serve("--concurrency", "4", program=HURRIED)
    until(lambda: began(tmp_path) == 4, "it runs some of them")
    for _ in range(4):
        scene.serve("--concurrency", "1", "--log-format", "json", program=HURRIED)
    scene.ready()
    killed.kill()
    (tmp_path / "gate").touch()
    assert goque.gather(*tasks, timeout=60) == ["through"] * 20
    runs = q.history(type="gated", columns=["task_id", "outcome"])
    lost = runs[runs["outcome"].isin(["lost", "lost_unknown"])]
    assert len(lost) >= 4
    assert lost["task_id"].is_unique
    assert Counter(runs["outcome"])["done"] == 20
    events = [json.loads(line) for line in scene.log.read_text().splitlines() if "TasksHealed" in line]
    assert sum(sum(one["by_status"].values()) for one in events) == len(lost)


def test_a_task_that_kills_every_worker_comes_to_an_end_and_costs_others_nothing(scene: Works) -> None:
    q = scene.queue
    with q.pipeline():
        bystanders = [q.enqueue("echo", number, delay="1s") for number in range(50)]
        deadly = q.enqueue("deadly", max_attempts=1)
    workers = [scene.serve("--concurrency", "1", program=HURRIED) for _ in range(3)]
    assert deadly.exception(timeout=60) is not None
    assert deadly.status is Status.ATTEMPTS_LEFT
    # The first worker only held it, as far as anybody knew, so that it was charged nothing; from then on it is marked.
    assert 1 <= sum(worker.poll() is not None for worker in workers) <= 2
    assert set(q.history(task=deadly.id)["outcome"]) <= {"lost", "lost_unknown"}
    assert goque.gather(*bystanders, timeout=30) == list(range(50))
    assert {task.attempts for task in bystanders} == {1}


@pytest.mark.parametrize("items", [20_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_wrong_clocks_delay_hasten_and_double_nothing_and_work_is_shared_and_begins_at_once(
    scene: Works, tmp_path: Path, items: int
) -> None:
    q = scene.queue
    for skew in ("300", "-300"):
        scene.serve("--concurrency", "1", program="tests.skewed_worker", SKEW=skew)
    scene.ready()
    until(lambda: len(q.tasks(type="tick", status="done")) >= 1, "schedules run")
    for _ in range(2):
        q.enqueue("gated", str(tmp_path))
    until(lambda: began(tmp_path) == 2, "both work")  # a worker is known before its children are there
    (tmp_path / "gate").touch()
    soon, later = q.enqueue("echo", 1, delay="2s"), q.enqueue("echo", 2, delay="2m")

    probe = q.enqueue("echo", 0)
    probe.result(timeout=30)
    batch = q.map(abs, range(items))
    batch.wait(timeout=240)
    soon.result(timeout=30)

    rows = q.history(type="builtins.abs", columns=["worker", "outcome"])
    assert Counter(rows["outcome"]) == {"done": items}
    shares = Counter(rows["worker"])
    assert len(shares) == 2
    assert min(shares.values()) > items / 5
    seen = q.history(columns=["task_id", "wait_s", "created_at", "started_at", "type"]).set_index("task_id")
    assert seen.loc[probe.id, "wait_s"] < 1
    assert 2 <= (seen.loc[soon.id, "started_at"] - seen.loc[soon.id, "created_at"]).total_seconds() < 30
    assert later.status is Status.PENDING
    slots = q.tasks(type="tick")["slot"]
    assert slots.is_unique
    assert len(q.tasks(type="new_year")) == 1


def test_a_worker_removes_what_is_past_its_retention_and_nothing_else(scene: Works) -> None:
    q = scene.queue
    done, failed, later = q.enqueue("echo", 1), q.enqueue("fails", "no"), q.enqueue("echo", 2, delay="1000d")
    worker = scene.serve("--drain")
    worker.wait(60)
    scene.workers.clear()
    assert (done.status, failed.status) == (Status.DONE, Status.ATTEMPTS_LEFT)
    age(q.dsn, 8)
    scene.serve()
    scene.ready()
    until(lambda: done.id not in set(q.tasks()["id"]), "a worker removes it")
    with pytest.raises(goque.NotFound):
        q.task(done.id)
    assert (failed.status, later.status) == (Status.ATTEMPTS_LEFT, Status.PENDING)


def test_what_failed_is_still_there_the_next_day(scene: Works) -> None:
    q = scene.queue
    task, brief = q.enqueue("fails", "yesterday", max_attempts=1), q.enqueue("echo", 1, keep="1h")
    scene.serve("--drain").wait(60)
    scene.workers.clear()
    age(q.dsn, 1)
    scene.serve()
    until(lambda: brief.id not in set(q.tasks()["id"]), "a worker has removed what is old")
    [row] = q.history(task=task.id).to_dict("records")
    assert (row["task_id"], row["error"], row["error_type"]) == (task.id, "yesterday", "ValueError")
    assert "in fails" in row["traceback"]
    assert task.retry().changed == 1

"""A batch again: retried, with a fixed function, from another process, and as a DataFrame."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from goque import InvalidInput, Queue, Status, TaskFailed
from goque.sql import runs as views


def inverse(x: float) -> float:
    return 1 / x


def safe_inverse(x: float) -> float:
    return 1 / x if x else math.inf


def test_a_fixed_function_runs_for_the_same_rows(q: Queue) -> None:
    batch = q.map(inverse, [0, 1, 2, 0], max_attempts=1).wait(20)
    failed = batch.failed()
    assert len(failed) == 2
    changed = batch.where(error_type=ZeroDivisionError).retry(safe_inverse)
    assert (changed.changed, changed.skipped) == (2, {})
    assert batch.results(timeout=20) == [math.inf, 1.0, 0.5, math.inf]
    assert [task.attempts for task in batch.tasks()] == [1, 1, 1, 1]
    assert batch.inputs() == [0, 1, 2, 0]
    # What ran before tells what it ran, though the task has another function now.
    runs = batch[:2].history(order_by=["position", "run"])
    told = [(position, name.rpartition(".")[2]) for position, name in zip(runs["position"], runs["type"], strict=True)]
    assert told == [(0, "inverse"), (0, "safe_inverse"), (1, "inverse")]
    view = q.select(views.type).from_(views).where(views.task_id == batch[0].id).order_by(views.run).to_frame()
    assert [name.rpartition(".")[2] for name in view["type"]] == ["inverse", "safe_inverse"]


def test_a_retry_counts_what_it_changed_and_what_it_skipped(q: Queue) -> None:
    batch = q.map(inverse, [0, 1], max_attempts=1).wait(20)
    changed = batch.retry()
    assert (changed.changed, changed.skipped) == (1, {"neither failed nor canceled": 1})
    assert str(changed) == "1 changed; 1 skipped: neither failed nor canceled"
    batch.wait(20)
    assert batch.retry(safe_inverse, force=True).changed == 2
    assert batch.results(timeout=20) == [math.inf, 1.0]


def test_without_reset_attempts_are_kept_and_one_more_is_allowed(q: Queue) -> None:
    task = q.map(inverse, [0], retry=[0, 0], max_attempts=2).wait(20)[0]
    assert task.attempts == 2
    assert task.retry(reset=False).changed == 1
    task.wait(20)
    assert (task.attempts, task.status) == (3, Status.ATTEMPTS_LEFT)
    assert task.retry().changed == 1
    task.wait(20)
    assert task.attempts == 3


def test_a_retry_may_change_options_of_the_lane(q: Queue) -> None:
    batch = q.map(inverse, [0], max_attempts=1).wait(20)
    batch.retry(max_attempts=2, queue="other", retry=[0])
    batch.wait(20)
    assert (batch[0].attempts, batch[0]._row().queue) == (2, "other")
    with pytest.raises(InvalidInput, match="a retry can change queue"):
        batch.retry(name="else")
    with pytest.raises(InvalidInput, match="max_attempts"):
        batch.retry(max_attempts=0)


def test_a_canceled_batch_runs_when_it_is_retried(q: Queue) -> None:
    batch = q.options(delay="1h").map(safe_inverse, [1, 2])
    batch.cancel()
    assert batch.retry().changed == 2
    assert batch.results(timeout=20) == [1.0, 0.5]


def test_a_retry_with_a_bad_function_changes_nothing(alone: Queue) -> None:
    batch = alone.map(inverse, [1])
    batch.cancel()
    with pytest.raises(InvalidInput):
        batch.retry("not callable")  # type: ignore[arg-type]
    assert batch.counts()[Status.CANCELED] == 1


def test_another_process_finds_results_in_order(q: Queue, run_script: Callable[..., Any]) -> None:
    batch = q.map(safe_inverse, [1, 2, 4], name="from here")
    found = run_script(
        f"""
        import json
        from goque import Queue
        with Queue() as q:
            print(json.dumps([q.batch("from here").results(timeout=20), q.batch({batch.id}).inputs(), q.last.id]))
        """,
        q.dsn,
    )
    assert found == [[1.0, 0.5, 0.25], [1, 2, 4], batch.id]


def test_work_outlives_the_process_that_submitted_it(q: Queue, run_script: Callable[..., Any]) -> None:
    id = run_script(
        """
        import json
        from goque import Queue
        print(json.dumps(Queue().map(lambda x: x + 1, [1, 2], name="left behind").id), flush=True)
        import os; os._exit(0)
        """,
        q.dsn,
    )
    batch = q.batch("left behind")
    assert (batch.id, batch.results(timeout=20)) == (id, [2, 3])


def test_a_whole_owner_s_work_is_taken_up_by_resume(dsn: str, run_script: Callable[..., Any]) -> None:
    id = run_script("import json, goque; print(json.dumps(goque.Queue().submit(pow, 2, 2).id))", dsn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOQUE_SECRET", "a secret for the tests of the public face")
        with Queue(dsn, workers=1, owner="tester") as queue:
            queue.resume()
            assert queue.task(id).result(timeout=20) == 4


def test_a_frame_has_one_row_per_item_with_inputs_and_values(q: Queue) -> None:
    frame = q.map(inverse, [0, 2], max_attempts=1).wait(20).to_frame()
    assert list(frame.columns) == ["position", "status", "input", "value", "error_type", "error"]
    assert frame["position"].tolist() == [0, 1]
    assert frame["status"].astype(str).tolist() == ["attempts_left", "done"]
    assert frame["input"].tolist() == [0, 2]
    assert frame["value"].isna().tolist() == [True, False]
    assert frame["value"][1] == 0.5
    assert frame["error_type"][0] == "ZeroDivisionError"
    assert frame["error"][0] == "division by zero"


def test_a_frame_expands_mappings_and_tuples(q: Queue) -> None:
    def both(a: int, status: str) -> dict[str, Any]:
        return {"a": a * 2, "length": len(status)}

    batch = q.starmap(both, [{"a": 1, "status": "x"}, {"a": 2, "status": "yy"}]).wait(20)
    frame = batch.to_frame()
    assert list(frame.columns) == [
        "position", "status", "a", "input_status", "value_a", "length", "error_type", "error",
    ]  # fmt: skip
    assert frame[["a", "input_status", "value_a", "length"]].to_numpy().tolist() == [[1, "x", 2, 1], [2, "yy", 4, 2]]
    kept = batch.to_frame(expand=False)
    assert kept["input"].tolist() == [{"a": 1, "status": "x"}, {"a": 2, "status": "yy"}]
    assert "input" not in batch.to_frame(inputs=False, expand=False)
    pairs = q.map(lambda a, b: a, [1], [2]).wait(20).to_frame()
    assert pairs[["input_0", "input_1", "value"]].to_numpy().tolist() == [[1, 2, 1]]


def test_a_frame_never_waits_and_never_raises(alone: Queue) -> None:
    batch = alone.map(inverse, [1, 2, 3])
    batch[1].cancel("not this one")
    frame = batch.to_frame()
    assert frame["status"].astype(str).tolist() == ["new", "canceled", "new"]
    assert frame["error"].tolist()[1] == "not this one"
    with psycopg.connect(alone.dsn) as connection:
        connection.execute("UPDATE goque.task SET args = args || 'x'::bytea WHERE id % 1000000000 = 2")
    assert batch.to_frame()["input"].isna().tolist() == [False, False, True]
    empty = alone.map(inverse, []).to_frame()
    assert list(empty.columns) == ["position", "status", "input", "value", "error_type", "error"]
    assert len(empty) == 0
    assert batch[:1].to_frame()["position"].tolist() == [0]


def test_errors_are_grouped_by_what_is_common_to_their_messages(q: Queue) -> None:
    def fail(x: int) -> None:
        if x < 8:
            raise ValueError(f"row {x}: 'file-{x}.csv' isn't <object at 0x{x + 255:08x}>, it's 1.{x:,} \"{x}\"")
        raise KeyError("always this")

    frame = q.map(fail, range(12), max_attempts=1).wait(20).errors()
    assert frame["count"].tolist() == [8, 4]
    assert frame["error"].tolist() == ["row #: '…' isn't <object at #>, it's # \"…\"", "'always this'"]
    assert frame["example"][0].startswith("row 0: 'file-0.csv' isn't <object at 0x000000ff>")


def test_a_task_that_fails_without_a_child_has_an_error_in_the_frame(q: Queue, tmp_path: Path) -> None:
    import os

    batch = q.map(lambda x: os._exit(x), [9], max_attempts=1).wait(20)
    frame = batch.to_frame()
    assert frame["error_type"][0]
    with pytest.raises(TaskFailed):
        batch.results()

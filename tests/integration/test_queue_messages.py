"""What a user reads after a common mistake: it names the mistake and what to write instead."""

from __future__ import annotations

import re
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from goque import BatchMismatch, InvalidInput, NotFound, NotSerializable, Queue, Status, UnknownOption
from goque.app.reasons import unserved_lanes
from goque.app.verbs import Changed
from tests.rig import Rig


def parse(text: str) -> int:
    return int(text)


def give(mistake: str, q: Queue) -> Any:
    lock = threading.Lock()
    mistakes: dict[str, Callable[[], Any]] = {
        "swapped": lambda: q.map([1, 2], parse),  # type: ignore[arg-type]
        "called": lambda: q.map(parse("2"), [1]),  # type: ignore[arg-type]
        "submitted too little": lambda: q.submit(parse),
        "a queue inside": lambda: q.map(lambda x: q.submit(parse, x), [1]),
        "a queue given": lambda: q.submit(parse, {"q": [q]}),
        "a batch given": lambda: q.submit(parse, q.map(abs, [1])),
        "a lock inside": lambda: q.map(lambda x: lock, [1]),
        "slots": lambda: q.map(parse, ["1"], workers=3),
        "jobs": lambda: q.map(parse, ["1"], n_jobs=3),
        "retries": lambda: q.map(parse, ["1"], retries=3),
        "another library's word": lambda: q.options(countdown=3),
        "a result of all": lambda: q.map(parse, ["1"]).result(),  # type: ignore[attr-defined]
        "a typo": lambda: q.map(parse, ["1"]).reslts(),  # type: ignore[attr-defined]
        "a name": lambda: q.retry("nope"),
        "another name": lambda: q.cancel("nope"),
        "a batch by a float": lambda: q.batch(1.5),  # type: ignore[arg-type]
        "a task by a text": lambda: q.task("order-123"),  # type: ignore[arg-type]
        "a word that is no status": lambda: q.history(status="failed"),
    }
    return mistakes[mistake]()


@pytest.mark.parametrize(
    ("mistake", "kind", "said"),
    [
        ("swapped", InvalidInput, "the function comes first: q.map(func, items)"),
        ("called", InvalidInput, "pass f itself, not f(...)"),
        ("submitted too little", InvalidInput, "the call does not fit parse(text: 'str')"),
        (
            "a queue inside",
            NotSerializable,
            "the function uses q: a Queue cannot travel: inside a task use goque.context()",
        ),
        ("a queue given", NotSerializable, "argument 1['q'][0]: a Queue cannot travel"),
        ("a batch given", NotSerializable, "a Batch cannot travel: pass batch.results()"),
        ("a lock inside", NotSerializable, "the function uses lock, a _thread.lock, which cannot be pickled."),
        ("slots", UnknownOption, "Queue(workers=3)"),
        ("jobs", UnknownOption, "Queue(workers=3)"),
        ("retries", UnknownOption, "max_attempts counts the first run too, so retries=3 is max_attempts=4"),
        ("another library's word", UnknownOption, "there is no option 'countdown'. Did you mean delay?"),
        ("a result of all", AttributeError, "a batch has results(), and a task of it has result(): batch[0].result()"),
        ("a typo", AttributeError, "'Batch' object has no attribute 'reslts'"),
        ("a name", NotFound, "there is no batch 'nope'"),
        ("another name", NotFound, "there is no batch 'nope'"),
        ("a batch by a float", InvalidInput, "a batch is found by its id, a number, or its name, not by 1.5"),
        ("a task by a text", InvalidInput, "a task is found by its id, a number; q.tasks(external_id=...)"),
        ("a word that is no status", UnknownOption, "knows no 'failed'; there are new, pending, processing, done,"),
    ],
)
def test_a_mistake_is_named_with_what_to_write(alone: Queue, mistake: str, kind: type, said: str) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        give(mistake, alone)


def test_what_does_not_fit_a_single_call_is_not_told_of_maps(alone: Queue) -> None:
    with pytest.raises(InvalidInput) as caught:
        alone.submit(parse)
    assert "item" not in str(caught.value)
    assert "map" not in str(caught.value)


def test_a_timeout_says_what_is_waited_for(alone: Queue) -> None:
    one = alone.options(tags=["gpu"]).submit(parse, "1")
    with pytest.raises(TimeoutError, match=r"^1 task has not ended after 0.1 s; it goes on; it waits, but no worker"):
        one.result(timeout=0.1)
    two = alone.options(delay="1h").map(parse, ["1", "2"])
    with pytest.raises(
        TimeoutError, match=r"^2 tasks have not ended after 0.1 s; they go on; the first: it waits for its time"
    ):
        two.wait(timeout=0.1)


def test_a_changed_function_is_told_with_the_retry_that_takes_it(alone: Queue) -> None:
    alone.map(parse, ["1", "2"], name="named")
    with pytest.raises(BatchMismatch, match=re.escape("q.batch('named').retry(func) runs what failed again with the")):
        alone.map(lambda text: int(text) + 1, ["1", "2"], name="named")
    with pytest.raises(BatchMismatch, match=r"other work: 1 item is new\. on_change='extend' runs the new items with"):
        alone.map(parse, ["1", "2", "3"], name="named")


def test_batches_are_canceled_and_retried_by_name(alone: Queue) -> None:
    alone.map(parse, ["1", "2"], name="named")
    assert str(alone.cancel("named")) == "2 changed"
    assert repr(alone.cancel("named")) == "0 changed; 2 skipped: already final"
    assert alone.retry("named") == Changed(2)


def test_counts_and_the_queue_show_themselves_shortly(alone: Queue) -> None:
    counts = alone.map(parse, ["1", "2"]).counts()
    assert repr(counts) == "{'new': 2}"
    assert (counts[Status.DONE], counts["new"]) == (0, 2)  # type: ignore[index]
    assert re.fullmatch(r"<Queue postgresql://\S+/\w+>", repr(alone))


def test_ready_tasks_that_no_living_worker_can_take_are_told_with_the_reason(alone: Queue) -> None:
    alone.options(tags=["gpu"]).submit(parse, "1")
    paused = alone.map(parse, ["1"]).pause()
    assert unserved_lanes(alone._core.database) == [
        f"batch {paused.id} is paused; go on with: goque resume {paused.id}"
    ]
    Rig(alone._core.database).worker()
    told = [text for text in unserved_lanes(alone._core.database) if "tag gpu" in text]
    assert len(told) == 1
    assert told[0].startswith("tasks of parse in queue default wait, but 1 worker is alive and lacks")
    assert "(it holds none); start it with the GOQUE_SECRET" in told[0]


def test_work_that_no_living_worker_can_run_is_told_before_it_waits(alone: Queue) -> None:
    database, keys = alone._core.database, list(alone._core.functions.key_ids)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone.map(parse, ["1"])  # whoever submits may start workers later
    Rig(database).worker()

    def runs(python: str) -> None:
        with psycopg.connect(alone.dsn) as connection:
            connection.execute("update goque.worker set python = %s, key_ids = %s", (python, keys))

    ours = ".".join(map(str, sys.version_info[:2]))
    runs("3.99.1")
    said = re.escape(
        f"parse will wait: 1 worker is alive and lacks Python {ours} (it runs 3.99.1); start one with: goque"
    )
    with pytest.warns(UserWarning, match=said):
        assert alone.map(parse, ["1"], dry_run=1) == [1]
    with pytest.warns(UserWarning, match=said) as warned:
        alone.map(parse, ["1"])
    assert warned[0].filename == __file__
    alone._core.asked.clear()
    with pytest.warns(UserWarning, match=said) as warned:
        [alone.submit(parse, "1") for _ in range(2)]
    assert len(warned) == 1, "once for many"
    with pytest.warns(UserWarning, match="lacks .*tag gpu"):
        alone.options(tags=["gpu"]).submit(parse, "1")
    runs(f"{ours}.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone.map(parse, ["1"])
        alone._core.asked.clear()
        alone.submit(parse, "1")

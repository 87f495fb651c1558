"""Objects that are stored once and shared by many tasks."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from goque import InvalidInput, NotFound, NotSerializable, Queue, ResultExpired, SignatureInvalid
from goque.app.duties import SharedDuties
from goque.app.spawning import Spawner
from goque.client.objects import Objects
from goque.payload import refs
from goque.payload.keys import KeyRing
from goque.postgres.database import Database
from goque.queries import objects
from goque.worker.crew import WorkerConfig
from goque.worker.porter import Porter
from goque.worker.shelf import Absent, Shelf
from goque.worker.worker import Worker


def rows(queue: Queue, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(queue.dsn, autocommit=True) as connection:
        found = connection.execute(text)
        return found.fetchall() if found.description else []


def back(since: str, queue: Queue) -> None:
    """All objects were last used so long ago."""
    rows(queue, f"update goque.object set last_used_at = now() - interval '{since}'")


def test_children_share_one_copy_that_nobody_can_change(q: Queue) -> None:
    table = np.arange(3_000_000, dtype="float64")  # over one part
    ref = q.put({"table": table, "name": "three million"})
    assert q.put({"table": table, "name": "three million"}) == ref
    assert (ref.size > table.nbytes, ref.type, ref.get()["table"].sum()) == (True, "builtins.dict", table.sum())

    def look(shared: Any, number: int) -> Any:
        import os
        import time

        array = shared["table"]
        address = array.__array_interface__["data"][0]
        with open("/proc/self/maps") as maps:
            spans = [line.split() for line in maps]
        [place] = [
            fields for fields in spans if int(fields[0].split("-")[0], 16) <= address < int(fields[0].split("-")[1], 16)
        ]
        time.sleep(0.2)
        return os.getpid(), place[1], place[4], array.flags.writeable, float(array[number])

    found = q.map(look, [ref] * 6, range(6)).results(timeout=30)
    assert {(rights, writeable) for _, rights, _, writeable, _ in found} == {("r--s", False)}
    assert len({inode for _, _, inode, _, _ in found}) == 1
    assert len({pid for pid, *_ in found}) == 2
    assert [value for *_, value in found] == [0, 1, 2, 3, 4, 5]


def test_a_ref_becomes_the_object_wherever_it_is(q: Queue) -> None:
    frame = pd.DataFrame({"a": range(1000)})
    ref, other = q.put(frame), q.put([1, 2])
    deep = {"in": [(ref, other)]}

    def total(x: Any, *, more: Any = None, given: Any = None) -> Any:
        return int(deep["in"][0][0]["a"].sum()), sum(x), more and sum(more), given and sum(given)

    task = q.submit(total, other, more=other)
    assert task.result(timeout=20) == (499_500, 3, 3, None)
    assert (task.args, task.run_here()) == ((other,), (499_500, 3, 3, None))
    assert q.map(lambda x, given: (x, given), [other], kwargs={"given": other}, dry_run=1) == [([1, 2], [1, 2])]
    assert task.args[0].get() == [1, 2]
    with pytest.raises(InvalidInput, match="q.put"):
        pickle.loads(pickle.dumps(other)).get()
    batch = q.map(total, [other, [4]], kwargs={"given": other}, name="shared")
    assert batch.results(timeout=20) == [(499_500, 3, None, 3), (499_500, 4, None, 3)]
    assert q.map(total, [other, [4]], kwargs={"given": other}, name="shared").id == batch.id
    assert batch.retry(lambda x, given: len(given), force=True).changed == 2
    assert batch.results(timeout=20) == [2, 2]
    with pytest.raises(NotSerializable, match="lock"):
        q.put({"a": __import__("threading").Lock()})


def test_what_is_not_what_was_put_is_not_loaded(alone: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    ref, ring = alone.put(b"x" * 100), alone._core.ring
    shelf = Shelf(ring, alone._core.database.all, most=1)
    with pytest.raises(Absent):
        shelf.take([ref.digest])
    shelf.fetch([ref.digest])
    [path] = shelf.take([ref.digest]).values()
    with open(path, "rb") as file:
        assert refs.decode(memoryview(file.read())) == b"x" * 100
    with pytest.raises(PermissionError):
        os.write(os.open(path, os.O_RDWR), b"changed")
    assert shelf.drop([]) == [], "just fetched, and to be taken"
    shelf.fetch([])
    assert (shelf.drop([ref.digest]), shelf.drop([])) == ([], [ref.digest])
    stranger = Objects(alone._core.database, KeyRing.from_text("another secret that is as long"), "eve")
    assert stranger.put(b"x" * 100).digest == ref.digest
    assert ref.get() == b"x" * 100
    with psycopg.connect(alone.dsn, autocommit=True) as connection:
        connection.execute("update goque.object_part set data = set_byte(data, 60, 7)")
        shelf.fetch([ref.digest])
        for read in (ref.get, lambda: shelf.take([ref.digest])):
            with pytest.raises(Exception, match="its bytes were changed"):
                read()
        connection.execute("update goque.object set seal = seal || 'x'")
        with pytest.raises(Exception, match="moved here|was changed"):
            ref.get()


def held_up(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Whoever reads an object sets the first event, and waits in the middle of it for the second."""
    begun, goes_on, verified = threading.Event(), threading.Event(), refs.verified

    def slow(digest: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in verified(digest, pieces):
            begun.set()
            assert goes_on.wait(60)
            yield piece

    monkeypatch.setattr(refs, "verified", slow)
    return begun, goes_on


def test_others_run_while_an_object_is_fetched(alone: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on = held_up(monkeypatch)
    large = alone.map(len, [alone.put(b"x" * 100_000)])
    config = WorkerConfig(slots=1, drain=True, grace=5.0)
    database = Database(alone.dsn)
    worker = Worker(database, alone._core.ring, config, duties=SharedDuties, spawner=Spawner)
    runs = threading.Thread(target=worker.run, daemon=True)
    runs.start()
    try:
        assert begun.wait(30)
        # One slot, and nothing waits for the object but who needs it; with nothing else to do the worker stays.
        for turn in range(3):
            assert alone.map(abs, [-turn, turn]).results(timeout=20) == [turn, turn]
        assert large.counts()["new"] == 1
        assert not worker.load.buffered
    finally:
        goes_on.set()
    assert large.results(timeout=20) == [100_000]
    assert (large[0].attempts, len(large.history())) == (1, 1), "what was handed back meanwhile is told nowhere"
    runs.join(20)
    assert worker.ended_because == "drained"
    database.close()


def test_fetching_ends_in_the_middle_of_an_object(alone: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(alone._core.ring, alone._core.database.all)
    porter = Porter(shelf, lambda: None)
    ref = alone.put(b"x" * 100_000)
    begun, goes_on = held_up(monkeypatch)
    porter.send_for(1, [ref.digest])
    porter.start()
    assert begun.wait(30)
    porter.stop()
    goes_on.set()
    assert porter.join(20)
    with pytest.raises(Absent):
        shelf.take([ref.digest])


def test_an_object_goes_when_no_lane_needs_it(alone: Queue) -> None:
    database, ref, unused = alone._core.database, alone.put([1]), alone.put([2])
    alone.submit(len, ref)
    assert database.all(objects.forget_unused(-1.0)) == [unused.digest]
    with pytest.raises(ResultExpired, match="q.put stores it again"):
        unused.get()
    for give in (lambda: alone.submit(len, unused), lambda: alone.map(len, [unused])):
        with pytest.raises(ResultExpired):
            give()
    with psycopg.connect(alone.dsn) as connection:
        assert connection.execute("select count(*) from goque.object_part").fetchone() == (1,)
        assert connection.execute("select count(*) from goque.task").fetchone() == (1,)


@pytest.mark.filterwarnings("ignore:.*most of it in table")
def test_what_is_large_is_stored_apart_without_being_asked(q: Queue) -> None:
    table = np.arange(300_000, dtype="float64")  # 2.4 MB

    def look(number: int, given: Any, small: Any) -> Any:
        return table.flags.writeable, given["table"].flags.writeable, float(table[number]) + small

    given = {"table": table * 2}
    batch = q.map(look, [1, 2], kwargs={"given": given, "small": 1}, name="large")
    assert [row[:2] for row in batch.results(timeout=30)] == [(False, False)] * 2
    assert [row[2] for row in batch.results(timeout=30)] == [2.0, 3.0]
    [(objects_of_lane, code, shared)] = rows(
        q,
        "select lane.objects, length(function.code), length(batch.kwargs) from goque.batch "
        "join goque.lane on lane.batch_id = batch.id join goque.function on function.id = function_id "
        f"where batch.id = {batch.id}",
    )
    assert (len(objects_of_lane), code < 20_000, shared < 2_000) == (2, True, True)
    # Whoever looks sees what was given, and a table of the items reads none of it.
    task = batch[0]
    assert (task.args, type(task.kwargs["given"])) == ((1,), dict)
    assert np.array_equal(task.kwargs["given"]["table"], given["table"])
    assert task.run_here()[2] == 2.0
    assert [ref.automatic for ref in q._core.shared(batch.id).values() if isinstance(ref, refs.Ref)] == [True]
    assert list(batch.to_frame()["input"]) == [1, 2]
    assert q.map(look, [1], kwargs={"given": given, "small": 1}, dry_run=1)[0][:2] == (True, True)
    assert q.map(look, [1, 2], kwargs={"given": given, "small": 1}, name="large").id == batch.id
    apart = q.map(look, [1], kwargs={"given": given, "small": 1}, share_from=None)
    single = q.submit(look, 2, {"table": table}, 0)
    assert apart.results(timeout=30)[0][:2] == (True, True)
    assert single.result(timeout=30)[:2] == (False, True)
    with pytest.raises(InvalidInput, match="share_from"):
        q.options(share_from="1MB")


def test_an_extended_batch_has_what_its_shared_arguments_name(q: Queue) -> None:
    def pick(number: int, given: Any) -> Any:
        return number in given

    first = dict.fromkeys(range(200_000))
    batch = q.map(pick, [1], kwargs={"given": first}, name="grows").wait(30)
    again = dict.fromkeys(reversed(first))  # equal, and other bytes
    grown = q.map(pick, [1, 2, 300_000], kwargs={"given": again}, name="grows", on_change="extend", share_from=None)
    assert grown.results(timeout=30) == [True, True, False]
    assert grown.retry(lambda number, given: len(given), force=True).changed == 3
    assert (grown.id, grown.results(timeout=30)) == (batch.id, [200_000] * 3)


@pytest.mark.filterwarnings("ignore:.*most of it in words")
def test_what_a_function_captures_is_stored_once_however_often_it_is_edited(q: Queue) -> None:
    words = [f"word {number}" for number in range(200_000)]

    def made(add: int) -> Any:
        return lambda number: (words[number], add)

    batch = q.map(made(1), [1]).wait(30)
    before = rows(q, "select count(*), sum(size) from goque.object")
    assert q.map(made(2), [1]).results(timeout=30) == [("word 1", 2)]
    batch.retry(made(3), force=True)
    assert batch.results(timeout=30) == [("word 1", 3)]
    assert rows(q, "select count(*), sum(size) from goque.object") == before


def test_a_dry_run_has_the_objects_of_refs_wherever_they_are(q: Queue) -> None:
    ref = q.put([1, 2, 3])
    held = {"deep": [ref]}
    assert q.map(lambda x, more: (sum(held["deep"][0]), x, more), [[ref]], kwargs={"more": (ref,)}, dry_run=1) == [
        (6, [[1, 2, 3]], ([1, 2, 3],))
    ]
    with pytest.raises(InvalidInput, match="cannot hold a Ref"):
        q.put([ref])


ELSEWHERE = """
import json
from goque import Queue
with Queue() as q:
    print(json.dumps([q.ref("model").get(), q.put([3], name="model").digest]))
"""


def test_a_name_finds_an_object_from_another_process(q: Queue, run_script: Callable[..., Any]) -> None:
    old = q.put([1, 2], name="model", keep=None)
    assert run_script(ELSEWHERE, q.dsn) == [[1, 2], q.ref("model").digest]
    assert (q.ref("tester/model").get(), repr(q.ref("model"))[17:]) == ([3], ": builtins.list, 81 bytes>")
    assert q.submit(sum, q.ref("model")).result(timeout=30) == 3
    assert old.get() == [1, 2]
    for name in ("other", "eve/model"):
        with pytest.raises(NotFound, match="q.put"):
            q.ref(name)
    for wrong in ({"name": "a/b"}, {"name": ""}, {"keep": -1}):
        with pytest.raises(InvalidInput):
            q.put(1, **wrong)


def test_an_object_stays_as_long_as_was_said(alone: Queue) -> None:
    database = alone._core.database
    plain, brief, kept = alone.put([1]), alone.put([2], keep="1h"), alone.put([3], name="kept", keep=None)
    both = alone.put([4], name="one", keep=None)
    assert (alone.put([4], name="two"), alone.put([4])) == (both, both)
    back("2 hours", alone)
    assert database.all(objects.forget_unused()) == [brief.digest]
    back("8 days", alone)
    assert database.all(objects.forget_unused()) == [plain.digest]
    # What a name does not stand for any more is not kept for its sake.
    alone.put([5], name="kept")
    alone.put([6], name="one", keep=None)
    back("8 days", alone)
    assert alone.ref("kept").get() == [5], "finding it is a use of it"
    assert database.all(objects.forget_unused()) == [kept.digest]
    assert both.get() == [4]


def test_a_name_that_was_moved_is_not_believed(alone: Queue) -> None:
    alone.put([1], name="good")
    alone.put([2], name="bad")
    with psycopg.connect(alone.dsn, autocommit=True) as connection:
        connection.execute(
            "update goque.object_name set digest = other.digest from goque.object_name other "
            "where object_name.name = 'good' and other.name = 'bad'"
        )
    with pytest.raises(SignatureInvalid):
        alone.ref("good")

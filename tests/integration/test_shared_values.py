"""Objects that are stored once and shared by many tasks."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from goque import InvalidInput, NotSerializable, Queue, ResultExpired
from goque.client.objects import Objects
from goque.payload import refs
from goque.payload.keys import KeyRing
from goque.queries import objects
from goque.worker.shelf import Shelf


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
    with pytest.raises(InvalidInput, match="q.put"):
        task.args[0].get()
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
    [path] = shelf.take([ref.digest]).values()
    with open(path, "rb") as file:
        assert refs.decode(memoryview(file.read())) == b"x" * 100
    with pytest.raises(PermissionError):
        os.write(os.open(path, os.O_RDWR), b"changed")
    assert (shelf.drop([ref.digest]), shelf.drop([])) == ([], [ref.digest])
    stranger = Objects(alone._core.database, KeyRing.from_text("another secret that is as long"), "eve")
    assert stranger.put(b"x" * 100).digest == ref.digest
    assert ref.get() == b"x" * 100
    with psycopg.connect(alone.dsn, autocommit=True) as connection:
        connection.execute("update goque.object_part set data = set_byte(data, 60, 7)")
        for read in (ref.get, lambda: shelf.take([ref.digest])):
            with pytest.raises(Exception, match="its bytes were changed"):
                read()
        connection.execute("update goque.object set seal = seal || 'x'")
        with pytest.raises(Exception, match="moved here|was changed"):
            ref.get()


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

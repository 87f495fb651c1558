"""Canceling and retrying many tasks, however they are named, with counts of what was left alone and why."""

from __future__ import annotations

import numpy
import psycopg
import pytest

from goque import Queue, Status
from goque.app.verbs import NOT_THERE
from goque.errors import InvalidInput, UnknownOption
from goque.queries.cancel import STEP


def test_whatever_names_tasks_will_do(alone: Queue) -> None:
    batch, named = alone.map(abs, range(20)), alone.map(abs, range(3), name="named")
    singles = [alone.submit(abs, number) for number in range(6)]
    frame = alone.tasks(batch=batch.id)
    assert str(alone.cancel(frame[frame["position"] >= 15])) == "5 changed"
    assert alone.cancel(frame.head(0)).changed == 0
    assert alone.cancel(alone.history(task=singles[0].id)).changed == 1
    changed = alone.cancel(
        [singles[1], singles[2].id], numpy.int64(singles[3].id), batch[:4], "named", 999_999, reason="all"
    )
    assert changed.changed == 1 + 1 + 1 + 4 + 3
    assert changed.skipped == {NOT_THERE: 1}
    assert singles[1].cancel() is False
    again = alone.cancel(batch, named, singles[0])
    assert (again.changed, again.skipped) == (11, {"already final": 9 + 3 + 1})
    # The whole batch was canceled, so what runs again needs a lane that is open.
    [closed] = alone._core.lanes_of(batch.id)
    retried = alone.retry(alone.history(batch=batch.id, limit=7), singles[1], singles[5])
    assert (retried.changed, retried.skipped) == (8, {"neither failed nor canceled": 1})
    assert len(alone._core.lanes_of(batch.id)) == 2
    with psycopg.connect(alone.dsn) as connection:
        lanes = connection.execute(
            "select count(distinct lane_id) from goque.task where status = 'new' and id >= 10^12 and lane_id <> %s",
            (closed,),
        ).fetchone()
    assert lanes == (1,)
    for wrong in (1.5, b"17", alone.batches()):
        with pytest.raises(InvalidInput):
            alone.cancel(wrong)


def test_filters_name_tasks_as_those_of_a_look_do(alone: Queue) -> None:
    etl = alone.options(queue="etl")
    batch = etl.map(abs, range(3), name="nightly")
    later = etl.options(delay="1h", metadata={"model": "a"}).submit(abs, 1)
    alone.submit(abs, 2)
    assert alone.cancel(queue="etl", status="pending", metadata={"model": "b"}).changed == 0
    assert alone.cancel(queue="etl", status="pending", since="1h").changed == 1
    assert later.status is Status.CANCELED
    assert alone.cancel(batch="nightly").changed == 3
    assert alone.cancel(batch="no such batch").changed == 0
    assert alone.retry(queue="etl", status="canceled", since="1h").changed == 4
    assert batch.counts()[Status.NEW] == 3
    with pytest.raises(InvalidInput, match="say what to cancel"):
        alone.cancel()
    with pytest.raises(InvalidInput, match="say what to retry"):
        alone.retry(batch, queue="etl")
    with pytest.raises(UnknownOption, match="did you mean queue"):
        alone.cancel(queu="etl")
    with pytest.raises(UnknownOption):
        alone.cancel(limit=3)
    assert alone.count(status="canceled") == 0


def test_many_that_lie_apart_change_in_few_steps(alone: Queue) -> None:
    batch = alone.map(abs, range(3 * STEP))
    apart = batch[::2]
    done: list[str] = []
    run = alone._core.database.all

    def counted(statement):  # type: ignore[no-untyped-def]
        done.append(statement.name)
        return run(statement)

    alone._core.database.all = counted  # type: ignore[method-assign]
    assert alone.cancel(apart).changed == 1.5 * STEP
    assert done.count("cancel.cancel_within") == 3  # the last of them finds nothing
    assert alone.retry([int(id) for id in alone.tasks(batch=batch.id, status="canceled")["id"]]).changed == 1.5 * STEP
    assert done.count("retry.retry") == 2
    assert alone.count(status="new") == 3 * STEP

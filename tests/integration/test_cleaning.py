"""What is removed when, what stays because something needs it, and what is left where the removing was cut short.

Time is made by moving the moments of all rows into the past.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from goque import Queue, Status
from goque.app.batch import Batch
from goque.app.duties import SharedDuties
from goque.errors import InUse, InvalidInput, NotFound, ResultExpired
from goque.maintenance import cleaner
from goque.maintenance.cleaner import Cleaner, Round
from goque.model.events import Events, TasksCleaned
from goque.postgres.database import Database
from goque.queries import retry, workers
from tests.rig import Rig

TABLES = "batch batch_items lane function task run tally external_id dependency deleted_batch".split()  # noqa: SIM905
MOMENTS = {
    "task": ("created_at", "finished_at"),
    "batch": ("created_at", "changed_at"),
    "tally": ("changed_at",),
    "lane": ("last_used_at",),
    "function": ("last_used_at",),
    "maintenance": ("last_at",),
    "worker": ("ended_at", "lost_at", "beat_at"),
}


def age(dsn: str, days: float) -> None:
    """Let so much time have passed."""
    with psycopg.connect(dsn) as connection:
        for table, columns in MOMENTS.items():
            moved = ", ".join(f"{column} = {column} - make_interval(secs => {days * 86_400})" for column in columns)
            connection.execute(f"update goque.{table} set {moved}".encode())


def left(dsn: str) -> dict[str, int]:
    """How many rows there are of what a batch or a task leaves, without the zeros."""
    counts = " union all ".join(f"select '{table}', count(*) from goque.{table}" for table in TABLES)
    with psycopg.connect(dsn) as connection:
        return {table: number for table, number in connection.execute(counts.encode()) if number}


def finish(dsn: str, status: str, *ids: int) -> None:
    """Let tasks have ended in this way just now."""
    column = status.replace("-", "_")
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "update goque.task set status = %s, seq = null, run_at = null, finished_at = now() "
            "where id = any(%s) returning id, lane_id",
            (status, list(ids)),
        ).fetchall()
        for _, lane in rows:
            connection.execute(f"insert into goque.tally (lane_id, new, {column}) values (%s, -1, 1)".encode(), (lane,))


def test_single_tasks_go_when_their_own_retention_or_that_of_their_queue_is_over(alone: Queue) -> None:
    def ended(status: str, **options: Any) -> int:
        task = alone.options(**options).submit(abs, 1)
        finish(alone.dsn, status, task.id)
        return task.id

    alone.retention("brief", done="1d", failed=None)
    kept = {
        "done": ended("done"),
        "failed": ended("attempts_left"),
        "canceled": ended("canceled"),
        "kept for ever": ended("done", keep=None),
        "kept for an hour": ended("attempts_left", keep="1h"),
        "done in brief": ended("done", queue="brief"),
        "failed in brief": ended("attempts_left", queue="brief"),
        "waiting": alone.submit(abs, 2).id,
    }

    def there() -> set[str]:
        ids = set(alone.tasks(columns=["id"])["id"])
        return {name for name, id in kept.items() if id in ids}

    def gone_after(days: float) -> set[str]:
        before = there()
        age(alone.dsn, days)
        number = alone.clean(dry_run=True).get("tasks", 0)
        assert there() == before
        assert alone.clean().get("tasks", 0) == number
        return before - there()

    assert gone_after(0.02) == set()
    assert gone_after(0.1) == {"kept for an hour"}
    assert gone_after(1) == {"done in brief"}
    assert gone_after(6) == {"done"}
    assert gone_after(24) == {"failed", "canceled"}
    assert there() == {"kept for ever", "failed in brief", "waiting"}
    alone.retention("brief", failed="default")
    assert alone.clean("another queue") == {}
    assert alone.clean("brief") == {"tasks": 1}
    queues = alone.queues().set_index("name")
    assert queues.loc["brief", "keep_done_s"] == 86_400
    assert Rig(Database(alone.dsn)).broken() == []
    with pytest.raises(InvalidInput, match="say what to keep"):
        alone.retention("brief")
    with pytest.raises(InvalidInput, match="queue by queue"):
        alone.retention("*", done=1)


def test_a_batch_goes_whole_after_its_last_change_and_takes_all_along(alone: Queue) -> None:
    batch = alone.map(abs, range(2_500), name="nightly", external_id=str)
    brief = alone.map(abs, range(3), keep="1h")
    finish(alone.dsn, "done", *(task.id for task in brief.tasks()))
    batch[1:].cancel()
    age(alone.dsn, 29)
    assert alone.clean() == {"batches": 1, "tasks": 3}
    batch.cancel()  # the last one, which is a change
    age(alone.dsn, 29)
    assert alone.batches().set_index("id").loc[batch.id, "changed_at"] > alone.now() - __import__("datetime").timedelta(
        29.5
    )
    assert alone.clean() == {}
    age(alone.dsn, 2)
    assert alone.clean() == {"batches": 1, "tasks": 2_500, "functions": 1}
    assert left(alone.dsn) == {}
    with pytest.raises(NotFound):
        alone.batch("nightly")
    # Its name and its external ids are free.
    assert len(alone.map(abs, range(5), name="nightly", external_id=str)) == 5


def test_what_others_share_the_outcome_of_stays_as_long_as_they_do(alone: Queue) -> None:
    single = alone.options(external_id="1").submit(abs, 1)
    holder = alone.map(abs, [2, 3], external_id=str, keep="1d")
    finish(alone.dsn, "done", single.id, *(task.id for task in holder.tasks()))
    sharing = alone.map(abs, [1, 2], external_id=str, keep="60d")
    assert sharing.counts()[Status.DONE] == 2
    age(alone.dsn, 40)
    assert alone.clean() == {}
    with pytest.raises(InUse, match="external ids"):
        holder.delete()
    age(alone.dsn, 30)
    gone = alone.clean()
    gone.update(Counter(gone) + Counter(alone.clean()))
    assert gone == {"batches": 2, "tasks": 5, "lanes": 1, "functions": 1}
    assert left(alone.dsn) == {}


def test_batches_that_share_outcomes_of_each_other_go_together(alone: Queue) -> None:
    def ends(batch: Batch) -> Batch:
        finish(alone.dsn, "done", *(task.id for task in batch.tasks() if not task.done()))
        return batch

    def share(items: list[int], **options: Any) -> Batch:
        return ends(alone.map(abs, items, external_id=str, **options))

    share([1], name="one")
    share([2, 1], name="two")
    share([1, 2], name="one", on_change="extend")
    last = share([2, 3], keep="60d")
    same = Rig(Database(alone.dsn)).ask("select id / 1000000000 as own, same_as / 1000000000 as other from goque.task")
    assert len({(row.own, row.other) for row in same if row.other}) == 3
    age(alone.dsn, 31)
    assert alone.clean() == {}
    age(alone.dsn, 30)
    assert len(last) == 2
    assert alone.clean() == {"batches": 3, "tasks": 6, "functions": 1}
    assert left(alone.dsn) == {}


def test_a_batch_is_deleted_unless_it_is_in_use(alone: Queue) -> None:
    batch = alone.map(abs, range(10), name="big")
    with pytest.raises(InUse, match="10 tasks of batch .* are unfinished"):
        batch.delete()
    with pytest.raises(InvalidInput, match="whole batches"):
        batch[:3].delete()
    assert batch.delete(force=True) == 10
    assert set(left(alone.dsn)) == {"function"}
    for gone in (batch.delete, batch.cancel):
        with pytest.raises(NotFound, match="not there any more"):
            gone()
    assert alone.batches().empty
    assert alone.history().empty
    running = alone.map(abs, range(2))
    rig = Rig(Database(alone.dsn))
    worker = rig.worker()
    [one, two] = worker.claim(alone._core.lanes_of(running.id)[0])
    running.cancel()
    worker.settle(two)
    assert not cleaner.delete_batch(rig.database, running.id, lambda needs: not needs.stopping)
    worker.settle(one)
    assert running.delete() == 2
    worker.connection.close()


def test_a_worker_s_cleaner_rests_as_long_as_it_has_worked() -> None:
    rests: list[float] = []

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout or 0.0)
            return False

    pace = cleaner.Pace(Stopping(), rest=10.0)
    end = time.monotonic() + 0.01
    while time.monotonic() < end:
        pass
    assert not pace.stopped()
    assert not cleaner.Pace(Stopping()).stopped()
    assert rests[0] >= 0.1
    assert rests[1] == cleaner.BREATH


def test_a_delete_that_was_cut_short_is_seen_by_nobody_and_finished_by_the_next_round(alone: Queue) -> None:
    batch = alone.map(abs, range(2_500), external_id=str, name="cut")
    batch.cancel()
    database = Database(alone.dsn)
    assert cleaner.delete_batch(database, batch.id, lambda needs: True)
    stopping = threading.Event()
    stopping.set()
    assert cleaner.delete_tasks(database, batch.id, 2_500, cleaner.Pace(stopping)) == 0
    assert left(alone.dsn)["task"] == 2_500
    assert [len(frame) for frame in (alone.batches(), alone.tasks(), alone.history())] == [0, 0, 0]
    assert alone.count() == 0
    # External ids of it are free at once, for a map and for a single task, and the name.
    again = alone.map(abs, range(5), external_id=str, name="cut")
    assert again.counts()[Status.NEW] == 5
    assert not alone.options(external_id="7").submit(abs, 7).is_duplicate
    with psycopg.connect(alone.dsn) as connection:  # nor does plain SQL meet them
        [taken] = connection.execute("select goque.enqueue('builtins.abs', external_id => '8')").fetchone() or [0]
    assert taken < batch[0].id
    [refused] = database.all(retry.retry([batch[0].id]))
    assert refused.skipped == retry.Skip.GONE
    # A row that somebody's transaction holds is passed over, and the note stays for it.
    with psycopg.connect(alone.dsn) as connection:
        connection.execute("select from goque.task where id = %s for update", (batch[1].id,))
        assert Round(database).clean() == {"tasks": 2_499}
        assert left(alone.dsn)["deleted_batch"] == 1
    assert Round(database).clean() == {"tasks": 1}
    assert "deleted_batch" not in left(alone.dsn)
    assert left(alone.dsn)["external_id"] == 7


def test_what_somebody_holds_is_passed_over(alone: Queue) -> None:
    single = alone.submit(abs, 1)
    finish(alone.dsn, "done", single.id)
    followed, retried = alone.map(abs, range(2)), alone.map(abs, range(3))
    for batch in (followed, retried):
        batch.cancel()
    age(alone.dsn, 40)
    with psycopg.connect(alone.dsn) as connection:
        rows = f"task where id = {single.id}", f"batch where id = {followed.id}", f"lane where batch_id = {retried.id}"
        for held in rows:
            connection.execute(f"select from goque.{held} for key share".encode())
        assert alone.clean() == {}
    assert alone.clean() == {"batches": 2, "tasks": 6, "lanes": 1, "functions": 1}
    assert left(alone.dsn) == {}


def test_who_begins_to_share_an_outcome_while_it_is_removed_shares_it_or_runs(alone: Queue) -> None:
    """Either the old task stays, or the new one is its own; never does one wait for what is gone."""
    database = Database(alone.dsn)
    for number in range(15):
        old = alone.options(external_id=f"single {number}", keep="1h").submit(abs, 1)
        batch = alone.map(abs, [number], external_id=lambda item: f"batch {item}", keep="1h")
        finish(alone.dsn, "done", old.id, batch[0].id)
        age(alone.dsn, 1)
        with ThreadPoolExecutor(3) as threads:
            rounds = [threads.submit(Round(database).clean) for _ in range(2)]
            names = [f"single {number}", f"batch {number}"]
            new = threads.submit(alone.map, abs, [1, 2], external_id=dict(enumerate(names, 1)).get).result(20)
            assert all(one.result(20) is not None for one in rounds)
        rows = Rig(database).ask(f"""
            select task.id, task.status, task.same_as, source.id as source, external_id.task_id as holder
            from goque.task left join goque.task source on source.id = task.same_as
            left join goque.external_id on external_id.external_id = task.external_id
            where task.id / 1000000000 = {new.id}""")
        assert len(rows) == 2
        for row in rows:
            assert (row.status, row.source) == ("done", row.same_as) if row.same_as else row.status == "new"
            assert row.holder == (row.same_as or row.id)
    assert Rig(database).broken() == []


def test_who_slept_for_a_week_does_not_give_work_to_a_lane_that_is_gone(
    alone: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monotonic clock stands still while a machine is suspended."""
    old = alone.submit(abs, 1)
    finish(alone.dsn, "done", old.id)
    age(alone.dsn, 8)
    assert alone.clean() == {"tasks": 1, "lanes": 1, "functions": 1}
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 8 * 86_400)
    new = alone.submit(abs, 2)
    assert list(alone.tasks(columns=["id"])["id"]) == [new.id]
    assert left(alone.dsn) == {"lane": 1, "function": 1, "task": 1, "tally": 1}


def test_workers_that_are_gone_for_long_are_forgotten_unless_they_are_to_be_healed(alone: Queue) -> None:
    rig = Rig(Database(alone.dsn))
    rig.batch(1)
    rig.tasks(rig.lane(), 1)
    ended, lost, holding, lives = (rig.worker() for _ in range(4))
    holding.claim(rig.ask("select id from goque.lane")[0].id, 1)
    ended.connection.run(workers.finish(ended.id))
    rig.lose(lost.id)
    rig.lose(holding.id)

    def known() -> set[int]:
        return set(alone.workers(columns=["id"])["id"])

    age(alone.dsn, 89)
    assert "workers" not in alone.clean()
    age(alone.dsn, 2)
    assert alone.clean()["workers"] == 2
    assert known() == {holding.id, lives.id}
    assert rig.heal()
    assert alone.clean()["workers"] == 1
    assert known() == {lives.id}
    assert rig.broken() == []


def test_nobody_waits_for_what_was_removed(alone: Queue) -> None:
    single, batch = alone.submit(abs, 1), alone.map(abs, range(2))
    batch.delete(force=True)
    with psycopg.connect(alone.dsn) as connection:
        connection.execute("delete from goque.task")
    for wait in (single.result, batch.results):
        with pytest.raises(ResultExpired, match="not there any more"):
            wait(timeout=30)


def test_workers_take_turns_and_tell_what_they_removed(alone: Queue) -> None:
    told: list[TasksCleaned] = []
    events = Events()
    events.on(TasksCleaned, told.append)
    one, two = (Cleaner(alone._core.database, events=events) for _ in range(2))
    for batch in (alone.map(abs, range(2)), alone.map(abs, range(3))):
        batch.cancel()
        age(alone.dsn, 31)
        one.run_once()
        two.run_once()
    assert [dict(event.by_kind) for event in told] == [
        {"batches": 1, "tasks": 2},
        {"batches": 1, "tasks": 3, "functions": 1},
    ]


@pytest.mark.parametrize("clean", [True, False])
def test_a_worker_removes_nothing_where_it_is_told_to_leave_that_to_others(database: Database, clean: bool) -> None:
    duties = SharedDuties(database, lambda: None, clean=clean)
    assert any(isinstance(service, Cleaner) for service in duties._services) is clean

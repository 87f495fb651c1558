"""Schedules against a real database: each slot one task, whoever looks, whatever happened before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from goque import Queue
from goque.app import schedules as app_schedules
from goque.errors import InvalidInput, NotFound, ReadOnly
from goque.maintenance.scheduler import Scheduler, step_of
from goque.model.events import Events, TasksScheduled
from goque.model.manifest import TaskType
from goque.model.schedules import Schedule
from goque.postgres.database import Database
from goque.queries import schedules
from tests.integration.conftest import RunScript, until
from tests.rig import Rig

HOUR = timedelta(hours=1)
HOURLY = Schedule("hourly", "report", every_s=3600.0, payload={"to": ["ann"]})
NIGHTLY = Schedule("nightly", "report", cron="30 2 * * *", tz="Europe/Berlin")
APP = "shop.jobs:jobs"


class Rows:
    """What is stored, and the hands of a clock that tests may move: the slots, not the time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def ask(self, query: str, *values: object) -> list[Any]:
        return self._connection.execute(query.encode(), values).fetchall()

    def slots(self) -> list[datetime]:
        """The slots of all tasks, in the order in which these would run."""
        return [slot for (slot,) in self.ask("select slot from goque.task order by seq")]

    def due(self, name: str, ago: timedelta = timedelta()) -> datetime:
        """Make this the first slot that is still to be made."""
        query = "update goque.schedule set next_at = clock_timestamp() - %s, revision = revision + 1 where name = %s"
        [(moment,)] = self.ask(query + " returning next_at", ago, name)
        return moment  # type: ignore[no-any-return]

    def now(self) -> datetime:
        return self.ask("select clock_timestamp()")[0][0]  # type: ignore[no-any-return]


@pytest.fixture
def rows(database: Database) -> Iterator[Rows]:
    with psycopg.connect(database.dsn, autocommit=True, options="-c TimeZone=UTC") as connection:
        yield Rows(connection)


@pytest.fixture
def turn(database: Database) -> Callable[[], None]:
    """One step of a worker's scheduler."""
    scheduler = Scheduler(database)
    return lambda: (scheduler.run_once(), None)[1]


@pytest.fixture
def declare(database: Database) -> Callable[..., bool]:
    return lambda *given, app=APP, **options: app_schedules.declare(database, app, given, **options)


# Making tasks


def test_a_slot_makes_one_task_that_knows_it(
    database: Database, rows: Rows, turn: Callable[[], None], declare: Callable[..., bool]
) -> None:
    declare(HOURLY)
    turn()
    assert rows.slots() == []

    slot = rows.due("hourly")
    turn()
    turn()
    assert rows.slots() == [slot]
    query = """select lane.type, lane.function_id, task.payload, task.metadata, task.status, task.run_at
               from goque.task join goque.lane on lane.id = lane_id"""
    assert rows.ask(query) == [("report", None, {"to": ["ann"]}, {"schedule": "hourly"}, "new", None)]
    [(last_at, next_at)] = rows.ask("select last_at, next_at from goque.schedule")
    assert last_at == slot
    assert slot < next_at <= rows.now() + HOUR
    assert Rig(database).broken() == []


@pytest.mark.timeout(60)
def test_five_schedulers_make_one_task_for_each_of_two_hundred_slots(
    database: Database, rows: Rows, declare: Callable[..., bool]
) -> None:
    rounds, racers = 200, 5
    declare(replace(HOURLY, every_s=366 * 86_400.0))  # no slot but those of this test
    slots: list[datetime] = []
    told: list[TasksScheduled] = []
    events = Events()
    events.on(TasksScheduled, told.append)
    barrier = threading.Barrier(racers, action=lambda: slots.append(rows.due("hourly")))
    failures: list[BaseException] = []

    def race() -> None:
        own = Database(database.dsn, max_connections=1)
        try:
            scheduler = Scheduler(own, events=events)
            for _ in range(rounds):
                barrier.wait(30)
                scheduler.run_once()
        except BaseException as error:
            failures.append(error)
            barrier.abort()
        finally:
            own.close()

    threads = [threading.Thread(target=race) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(slots) == rounds
    assert sorted(rows.slots()) == slots
    assert sum(one.tasks for one in told) == rounds
    assert Rig(database).broken() == []


def test_who_read_a_schedule_before_it_was_changed_makes_nothing(
    database: Database, rows: Rows, declare: Callable[..., bool]
) -> None:
    for change in (
        lambda: declare(replace(HOURLY, payload="another")),
        lambda: declare(),
        lambda: app_schedules.set_paused(database, ["hourly"], True),
    ):
        declare(HOURLY, anew=True)
        rows.due("hourly")
        step = step_of(database.one(schedules.due()))._replace(
            lane=database.one(schedules.lane(TaskType(name="report")))
        )
        assert step.slots
        change()
        assert database.all(schedules.fire([step])) == []
    assert rows.slots() == []


def test_many_schedules_that_are_due_at_once_are_worked_off_in_steps(
    database: Database, rows: Rows, turn: Callable[[], None], declare: Callable[..., bool]
) -> None:
    declare(*(replace(HOURLY, name=f"schedule {n}") for n in range(schedules.STEP + 50)))
    rows.ask("update goque.schedule set next_at = now() returning name")
    turn()
    assert len(rows.slots()) == schedules.STEP
    turn()
    assert len(rows.slots()) == schedules.STEP + 50


@pytest.mark.parametrize(("catch_up", "made"), [("skip", 0), ("one", 1), ("all", 12)])
def test_after_an_outage_the_policy_says_what_is_made_up_for(
    rows: Rows, turn: Callable[[], None], declare: Callable[..., bool], catch_up: str, made: int
) -> None:
    latest = (rows.now() - timedelta(minutes=5)).replace(second=0, microsecond=0)
    declare(Schedule("hourly", "report", cron=f"{latest.minute} * * * *", catch_up=catch_up))
    rows.ask("update goque.schedule set next_at = %s returning name", latest - 11 * HOUR)
    turn()
    assert rows.slots() == [latest - n * HOUR for n in reversed(range(made))]
    assert rows.ask("select next_at from goque.schedule") == [(latest + HOUR,)]


def test_of_very_many_missed_slots_the_latest_thousand_are_made_at_once(
    database: Database, rows: Rows, turn: Callable[[], None], declare: Callable[..., bool]
) -> None:
    declare(replace(HOURLY, catch_up="all"))
    rows.due("hourly", ago=5_000 * HOUR)
    turn()
    made = rows.slots()
    turn()
    assert rows.slots() == made
    assert (len(made), made[-1] - made[0]) == (1_000, 999 * HOUR)
    assert rows.now() - made[-1] < HOUR
    assert Rig(database).broken() == []


def test_a_pause_lets_slots_pass_and_nothing_makes_up_for_them(
    database: Database, rows: Rows, turn: Callable[[], None], declare: Callable[..., bool]
) -> None:
    declare(replace(HOURLY, catch_up="all"))
    app_schedules.set_paused(database, ["hourly"], True)
    rows.due("hourly", ago=3 * HOUR)
    turn()
    app_schedules.set_paused(database, ["hourly"], False)
    turn()
    assert rows.slots() == []

    # The same where no worker was there to see the slots pass.
    app_schedules.set_paused(database, ["hourly"], True)
    rows.due("hourly", ago=3 * HOUR)
    app_schedules.set_paused(database, ["hourly"], False)
    after = rows.due("hourly")
    rows.due("hourly", ago=3 * HOUR)
    turn()
    assert [slot for slot in rows.slots() if slot < after] == []


def test_the_clock_of_the_host_does_not_matter(
    database: Database, rows: Rows, declare: Callable[..., bool], run_script: RunScript
) -> None:
    declare(HOURLY, replace(HOURLY, name="later"))
    slot = rows.due("hourly")
    before = rows.now()
    wrong_by = run_script(
        """
        import datetime, json, os, time
        real = time.time
        class Wrong(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return cls.fromtimestamp(time.time(), tz)
        time.time, datetime.datetime = lambda: real() + 3600, Wrong

        from goque.app import schedules
        from goque.maintenance.scheduler import Scheduler
        from goque.model.schedules import Schedule
        from goque.postgres.database import Database
        database = Database(os.environ["GOQUE_DSN"])
        schedules.declare(database, "another", [Schedule("from there", "report", every_s=3600.0)])
        Scheduler(database).run_once()
        print(json.dumps(datetime.datetime.now().timestamp() - real()))
        """,
        database.dsn,
    )
    assert wrong_by > 3_000
    assert rows.slots() == [slot]
    [next_ats] = list(zip(*rows.ask("select next_at from goque.schedule"), strict=True))
    assert all(before < next_at <= rows.now() + HOUR for next_at in next_ats)


# Declaring


def test_what_is_run_on_start_runs_once_for_each_declaration_not_for_each_worker(
    rows: Rows, turn: Callable[[], None], declare: Callable[..., bool]
) -> None:
    first = replace(NIGHTLY, run_on_start=True)
    changed = replace(first, payload=[1])
    for given, total in ((first, 1), (first, 1), (changed, 2), (changed, 2)):
        declare(given)
        turn()
        assert len(rows.slots()) == total
    assert all(rows.now() - slot < timedelta(minutes=1) for slot in rows.slots())


def test_a_change_of_definition_is_taken_up_and_what_is_the_same_keeps_its_next_slot(
    rows: Rows, declare: Callable[..., bool]
) -> None:
    declare(HOURLY, NIGHTLY)
    kept = rows.due("hourly", ago=HOUR)
    rows.due("nightly", ago=HOUR)
    assert declare(replace(HOURLY, type="other", payload=None), replace(NIGHTLY, tz="America/New_York"))
    found = {name: rest for name, *rest in rows.ask("select name, type, payload, tz, next_at from goque.schedule")}
    assert found["hourly"] == ["other", None, "UTC", kept]
    assert found["nightly"][2] == "America/New_York"
    assert found["nightly"][3] > rows.now()


def test_what_is_not_declared_any_more_is_retired_and_keeps_its_pause(
    database: Database, rows: Rows, turn: Callable[[], None], declare: Callable[..., bool]
) -> None:
    declare(HOURLY, NIGHTLY)
    app_schedules.set_paused(database, [], True)
    declare(NIGHTLY)
    rows.due("hourly")
    turn()
    assert rows.slots() == []
    assert rows.ask("select name from goque.schedules") == [("nightly",)]

    declare(HOURLY, anew=True)
    assert rows.ask("select name, paused, next_at from goque.schedules") == [("hourly", True, None)]
    assert rows.ask("select next_at > now() from goque.schedule where name = 'hourly'") == [(True,)]


@pytest.mark.parametrize(("older", "newer"), [(None, None), (1, 2), (None, 1), (3, 3)])
def test_an_older_deployment_that_starts_again_changes_nothing(
    rows: Rows, declare: Callable[..., bool], older: int | None, newer: int | None
) -> None:
    old, new = (HOURLY, NIGHTLY), (replace(HOURLY, every_s=60.0),)
    assert declare(*old, version=older)
    assert declare(*new, version=newer)
    assert not declare(*old, version=older)
    assert rows.ask("select name, every_s from goque.schedules") == [("hourly", 60.0)]
    assert declare(*new, version=newer)


def test_a_lower_version_that_comes_later_changes_nothing(rows: Rows, declare: Callable[..., bool]) -> None:
    assert declare(version=2)
    assert not declare(HOURLY, version=1)
    assert not declare(HOURLY)
    assert rows.ask("select name from goque.schedules") == []


def test_after_a_deployment_was_forgotten_an_older_one_holds(
    database: Database, rows: Rows, declare: Callable[..., bool]
) -> None:
    declare(HOURLY, version=1)
    declare(NIGHTLY, version=2)
    app_schedules.forget(database, APP)
    assert rows.ask("select name from goque.schedule") == []
    assert declare(HOURLY, version=1)
    assert rows.ask("select name from goque.schedules") == [("hourly",)]
    with pytest.raises(NotFound, match="no app 'nobody'"):
        app_schedules.forget(database, "nobody")


def test_a_schedule_goes_over_to_the_app_that_was_seen_later(rows: Rows, declare: Callable[..., bool]) -> None:
    declare(HOURLY, app="old.jobs:jobs")
    declare(HOURLY, app="new.jobs:jobs")
    declare(HOURLY, app="old.jobs:jobs")
    declare(app="old.jobs:jobs", version=1)
    assert rows.ask("select name, app from goque.schedules") == [("hourly", "new.jobs:jobs")]


def test_deployments_that_start_at_once_leave_the_schedules_of_one(
    database: Database, rows: Rows, declare: Callable[..., bool]
) -> None:
    barrier = threading.Barrier(4)
    found: list[bool] = []

    def start(version: int) -> None:
        own = Database(database.dsn, max_connections=1)
        given = [replace(HOURLY, name=f"{version}, {n}") for n in range(20)]
        barrier.wait(10)
        found.append(app_schedules.declare(own, APP, given, version))
        own.close()

    threads = [threading.Thread(target=start, args=(version,)) for version in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert sorted(rows.ask("select name from goque.schedules")) == sorted((f"4, {n}",) for n in range(20))


def test_schedules_that_cannot_be_are_refused_and_nothing_is_changed(rows: Rows, declare: Callable[..., bool]) -> None:
    declare(HOURLY)
    with pytest.raises(InvalidInput, match="schedule 'nightly'"):
        declare(replace(HOURLY, every_s=60.0), replace(NIGHTLY, cron="soon"))
    with pytest.raises(InvalidInput, match="two schedules of shop.jobs:jobs are called 'hourly'"):
        declare(HOURLY, HOURLY)
    assert rows.ask("select every_s from goque.schedules") == [(3600.0,)]
    assert rows.ask("select count(*) from goque.deployment") == [(1,)]


# What users see


def test_the_frame_of_schedules_has_the_same_columns_whatever_there_is(alone: Queue) -> None:
    empty = alone.schedules()
    assert len(empty) == 0
    app_schedules.declare(alone._core.database, APP, [NIGHTLY, replace(HOURLY, run_on_start=True)])
    frame = alone.schedules()
    assert list(frame["name"]) == ["hourly", "nightly"]
    assert list(frame.columns) == list(empty.columns)
    assert frame.dtypes.to_dict() == empty.dtypes.to_dict()
    assert str(frame.dtypes["next_at"]) == "datetime64[us, UTC]"
    assert frame["last_at"].isna().all()


def test_users_pause_and_resume_schedules_by_name_or_all_of_them(alone: Queue) -> None:
    app_schedules.declare(alone._core.database, APP, [NIGHTLY, HOURLY])

    def paused() -> list[bool]:
        return list(alone.schedules()["paused"])

    alone.pause_schedules("nightly")
    assert paused() == [False, True]
    alone.pause_schedules()
    assert paused() == [True, True]
    alone.resume_schedules("hourly")
    assert paused() == [False, True]
    alone.resume_schedules()
    assert paused() == [False, False]
    with pytest.raises(NotFound, match="no schedule 'weekly'; there are hourly, nightly"):
        alone.pause_schedules("hourly", "weekly")
    assert paused() == [False, False]
    with Queue(alone.dsn, read_only=True) as looking, pytest.raises(ReadOnly):
        looking.pause_schedules()


def test_a_task_reads_its_slot_from_its_context(q: Queue) -> None:
    def slot_here() -> Any:
        import goque

        return goque.context().slot

    slot = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    task = q.options(delay="1h").submit(slot_here)
    with psycopg.connect(q.dsn) as connection:
        connection.execute("update goque.task set slot = %s where id = %s", (slot, task.id))
        connection.execute("update goque.task set run_at = now() where id = %s", (task.id,))
    q.options(delay=0.01).submit(slot_here)  # wakes whoever makes delayed tasks ready
    assert task.result(timeout=30) == slot
    assert q.tasks(task=task.id)["slot"].tolist() == [slot]


def test_a_worker_makes_the_tasks_of_schedules(alone: Queue) -> None:
    app_schedules.declare(alone._core.database, APP, [replace(NIGHTLY, run_on_start=True)])
    alone.start_workers(1)
    until(lambda: len(alone.tasks()) == 1, "a worker makes the task")
    assert alone.tasks()["type"].tolist() == ["report"]
    assert alone.schedules()["last_at"].notna().all()

"""When schedules are due: on days when clocks are set, after outages, and for whatever cannot be meant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from goque.errors import InvalidInput
from goque.model.schedules import LATE, MOST_MISSED, Schedule, check, due_slots, latest_slots, next_slot, slots_after

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NIGHTLY = Schedule("nightly", "report", cron="30 2 * * *", tz="Europe/Berlin")
HOURLY = Schedule("hourly", "report", every_s=3600)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

# The days around which the clocks of each zone are set: by an hour in two of them, by half an hour in the third.
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
]


@cache
def shown(zone: str, change: datetime) -> list[tuple[datetime, datetime]]:
    """Each minute of the two days around a change, with what the clock on the wall shows then."""
    minutes = (change - DAY + n * MINUTE for n in range(2 * 24 * 60))
    return [(minute, minute.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for minute in minutes]


def walls(cron: str, change: datetime) -> set[datetime]:
    """What the clock shows at the slots around that day, whether it ever shows it or not."""
    near = change.replace(tzinfo=None)
    return set(takewhile(lambda wall: wall < near + 3 * DAY, CronSim(cron, near - 3 * DAY)))


def within(schedule: Schedule, change: datetime) -> list[datetime]:
    return list(takewhile(lambda slot: slot < change + DAY, slots_after(schedule, change - DAY - MINUTE / 2)))


field = st.one_of(
    st.integers(0, 5).map(str), st.sampled_from(["1-3", "2,3", "0-5/2", "1,4"]), st.sampled_from(["2", "3", "1-4"])
)
minute = st.one_of(st.integers(0, 59).map(str), st.sampled_from(["0,30", "15,45", "5-10", "59"]))


@pytest.mark.parametrize(("zone", "change"), CHANGES, ids=lambda value: str(value)[:10])
@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["*", "*/7", "*/15", "*/30"]), field | st.just("*"))
def test_a_schedule_with_a_star_goes_by_what_the_clock_shows(
    zone: str, change: datetime, minutes: str, hours: str
) -> None:
    cron = f"{minutes} {hours} * * *"
    wanted = walls(cron, change)
    expected = [moment for moment, wall in shown(zone, change) if wall in wanted]
    assert within(Schedule("s", "t", cron=cron, tz=zone), change) == expected


@pytest.mark.parametrize(("zone", "change"), CHANGES, ids=lambda value: str(value)[:10])
@settings(max_examples=20, deadline=None)
@given(minute, field)
def test_a_set_time_comes_once_a_day_whatever_the_clock_does(
    zone: str, change: datetime, minutes: str, hours: str
) -> None:
    cron = f"{minutes} {hours} * * *"
    first_shown: dict[datetime, datetime] = {}
    for moment, wall in shown(zone, change):
        first_shown.setdefault(wall, moment)
    start, end = min(first_shown), max(first_shown)
    # A time that the clock leaves out comes when the clock has been set, which is the moment of the change.
    expected = {first_shown.get(wall, change) for wall in walls(cron, change) if start <= wall <= end}
    assert within(Schedule("s", "t", cron=cron, tz=zone), change) == sorted(expected)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-03-28", "2026-03-28 01:30"),
        ("2026-03-29", "2026-03-29 01:00"),  # 2:30 is left out: at 3:00 of the summer
        ("2026-10-24", "2026-10-24 00:30"),
        ("2026-10-25", "2026-10-25 00:30"),  # 2:30 comes twice: the first
    ],
)
def test_half_past_two_in_berlin(day: str, expected: str) -> None:
    slot = next_slot(NIGHTLY, datetime.fromisoformat(f"{day} 00:00+00:00"))
    assert slot == datetime.fromisoformat(f"{expected}+00:00")


@pytest.mark.parametrize(("zone", "change"), CHANGES, ids=lambda value: str(value)[:10])
@settings(max_examples=30, deadline=None)
@given(minutes=minute | st.just("*/20"), hours=field | st.just("*"), at=st.integers(-36_000, 36_000))
def test_the_next_slot_is_the_same_from_wherever_one_looks(
    zone: str, change: datetime, minutes: str, hours: str, at: int
) -> None:
    schedule = Schedule("s", "t", cron=f"{minutes} {hours} * * *", tz=zone)
    moment = change + timedelta(seconds=at, microseconds=at % 7)
    expected = next(slot for slot in slots_after(schedule, change - DAY) if slot > moment)
    assert next_slot(schedule, moment) == expected
    assert next_slot(schedule, expected - timedelta(microseconds=1)) == expected


@settings(deadline=None)
@given(st.floats(1, 1e7), st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))
def test_intervals_are_counted_from_1970(every_s: float, moment: datetime) -> None:
    schedule = Schedule("s", "t", every_s=every_s)
    first, second = islice(slots_after(schedule, moment), 2)
    period = timedelta(microseconds=round(every_s * 1e6))
    assert moment < first <= moment + period
    assert second - first == period
    assert (first - datetime(1970, 1, 1, tzinfo=UTC)) % period == timedelta()


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([NIGHTLY, HOURLY, replace(NIGHTLY, cron="*/5 1-3 * * 1")]), st.integers(0, 40 * 24), st.data())
def test_the_latest_slots_are_the_end_of_all_of_them(schedule: Schedule, hours: int, data: st.DataObject) -> None:
    first = next_slot(schedule, NOON - hours * HOUR)
    every = [first, *takewhile(lambda slot: slot <= NOON, slots_after(schedule, first))]
    most = data.draw(st.integers(1, 50))
    assert latest_slots(schedule, first, NOON, most) == every[-most:]


def test_years_without_workers_cost_no_more_than_a_day() -> None:
    schedule = Schedule("s", "t", cron="* * * * *", catch_up="all")
    slots = due_slots(schedule, NOON - 20_000 * DAY, NOON)
    assert slots == [NOON - n * MINUTE for n in reversed(range(MOST_MISSED))]


@pytest.mark.parametrize(("catch_up", "made"), [("skip", 0), ("one", 1), ("all", 5)])
def test_what_is_made_of_missed_slots_depends_on_the_policy(catch_up: str, made: int) -> None:
    now = NOON + 2 * LATE
    slots = due_slots(replace(HOURLY, catch_up=catch_up), NOON - 4 * HOUR, now)
    assert slots == [NOON - n * HOUR for n in reversed(range(made))]


@pytest.mark.parametrize(("catch_up", "made"), [("skip", 1), ("one", 1), ("all", 5)])
def test_a_slot_that_is_merely_late_is_made_whatever_the_policy(catch_up: str, made: int) -> None:
    slots = due_slots(replace(HOURLY, catch_up=catch_up), NOON - 4 * HOUR, NOON + LATE)
    assert slots == [NOON - n * HOUR for n in reversed(range(made))]


def test_nothing_is_due_before_its_time() -> None:
    assert due_slots(HOURLY, NOON, NOON - MINUTE) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"cron": "* * * *"}, "five fields"),
        ({"cron": "0 0 3 * * *"}, "five fields"),
        ({"cron": "@daily"}, "five fields"),
        ({"cron": "0 0 30 2 *"}, "bad day-of-month"),
        ({"cron": 5}, "five fields"),
        ({"tz": "Europe/Berlyn"}, "no time zone 'Europe/Berlyn'"),
        ({"tz": "../../etc/passwd"}, "no time zone"),
        ({"tz": "Europe"}, "no time zone"),
        ({"tz": ""}, "no time zone"),
        ({"cron": None}, "either a cron expression or a period"),
        ({"every_s": 5.0}, "either a cron expression or a period"),
        ({"cron": None, "every_s": 0.5}, "from 1 second"),
        ({"cron": None, "every_s": -1.0}, "from 1 second"),
        ({"cron": None, "every_s": float("nan")}, "from 1 second"),
        ({"cron": None, "every_s": float("inf")}, "from 1 second"),
        ({"cron": None, "every_s": "15m"}, "a number of seconds"),
        ({"catch_up": "some"}, "'skip', 'one', 'all'"),
        ({"payload": {1, 2}}, "JSON"),
        ({"payload": float("nan")}, "JSON"),
        ({"payload": "\0"}, "NUL"),
        ({"type": ""}, "a task type must have"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_name_of_the_schedule(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=rf"schedule 'nightly': .*{message}"):
        check(replace(NIGHTLY, **changes))  # type: ignore[arg-type]


def test_sound_schedules_are_given_back() -> None:
    for schedule in (NIGHTLY, HOURLY, replace(NIGHTLY, cron="0 9 * jan-mar MON#1", payload={"a": ["\\u0000"]})):
        assert check(schedule) is schedule

"""When tasks of a named type are made by themselves: as data, and the moments that follow from it.

Not for: making them (``maintenance.scheduler``). A moment at which a schedule is due is a slot. Nothing here reads a
clock: what time it is, the database says.
"""

from __future__ import annotations

import heapq
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby, takewhile
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from goque.errors import InvalidInput
from goque.model.options import word

SHORTEST_S, LONGEST_S = 1.0, 366 * 86_400.0
"""The least and the greatest period of an interval, in seconds."""
CATCH_UP = ("skip", "one", "all")
MOST_MISSED = 1_000
"""Slots that ``catch_up="all"`` makes up for at most: the latest ones."""
LATE = timedelta(seconds=60)
"""A slot that is older than this when it is found was missed; up to then it is merely late."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _MINUTE = timedelta(microseconds=1), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A declared schedule. Either ``cron`` or ``every_s`` (seconds) is set; ``payload`` is any JSON value."""

    name: str
    type: str
    cron: str | None = None
    every_s: float | None = None
    tz: str = "UTC"
    catch_up: str = "skip"
    run_on_start: bool = False
    payload: Any = None


def check(schedule: Schedule) -> Schedule:
    """The same schedule, known to be sound.

    Raises:
        InvalidInput: something in it cannot be; the message names the schedule.
    """
    word("the name of a schedule", schedule.name)
    try:
        word("a task type", schedule.type)
        if (schedule.cron is None) == (schedule.every_s is None):
            raise InvalidInput("give either a cron expression or a period")
        if schedule.catch_up not in CATCH_UP:
            raise InvalidInput(f"catch_up must be one of {', '.join(map(repr, CATCH_UP))}, not {schedule.catch_up!r}")
        zone_of(schedule)
        if schedule.every_s is not None:
            _period(schedule.every_s)
        elif next(_walls(schedule.cron or "", _EPOCH), None) is None:
            raise InvalidInput(f"the cron expression {schedule.cron!r} names no day that ever comes")
        _check_json(schedule.payload)
    except InvalidInput as error:
        raise InvalidInput(f"schedule {schedule.name!r}: {error}") from None
    return schedule


def zone_of(schedule: Schedule) -> ZoneInfo:
    """Its time zone.

    Raises:
        InvalidInput: there is none of that name.
    """
    try:
        return ZoneInfo(schedule.tz)
    except (KeyError, ValueError, TypeError, OSError):
        raise InvalidInput(f"there is no time zone {schedule.tz!r}; give a name such as 'Europe/Berlin'") from None


def slots_after(schedule: Schedule, moment: datetime) -> Iterator[datetime]:
    """All slots later than a moment, in order, in UTC.

    Intervals are counted from 1970. Cron goes by the wall clock of the time zone, and on days when that is set does as
    Debian's cron does: a time that is left out comes when the clock has been set forward, one that is shown twice
    comes the first time. Where minute or hour begin with ``*`` only what the clock shows counts: nothing for an hour
    that is left out, twice as much in an hour that comes twice.
    """
    if schedule.every_s is not None:
        return _interval(_period(schedule.every_s), moment)
    return _cron(schedule.cron or "", zone_of(schedule), moment)


def next_slot(schedule: Schedule, moment: datetime) -> datetime:
    """The first slot later than a moment."""
    return next(slots_after(schedule, moment))


def latest_slots(schedule: Schedule, first: datetime, until: datetime, most: int) -> list[datetime]:
    """``first`` and the slots after it up to ``until``; if they are more than ``most``, the latest of them."""
    reach = _MINUTE * most
    while True:
        # Looked for from the end: after a long time without workers there may be millions of them.
        start = max(first, until - reach)
        slots = takewhile(lambda slot: slot <= until, slots_after(schedule, start))
        found = deque(chain([first], slots) if start == first else slots, maxlen=most)
        if start == first or len(found) == most:
            return list(found)
        reach *= 2


def due_slots(schedule: Schedule, first: datetime, now: datetime) -> list[datetime]:
    """The slots to make now, given the first that was not made yet: those that are merely late, and of those that
    were missed what ``catch_up`` says: none, the latest unless there is a late one, or all."""
    if first > now:
        return []
    slots = latest_slots(schedule, first, now, MOST_MISSED)
    if schedule.catch_up == "all":
        return slots
    late = [slot for slot in slots if now - slot <= LATE]
    return late or (slots[-1:] if schedule.catch_up == "one" else [])


def _interval(period: int, moment: datetime) -> Iterator[datetime]:
    number = (moment - _EPOCH) // _MICROSECOND // period
    while True:
        number += 1
        yield _EPOCH + number * period * _MICROSECOND


def _period(every_s: float) -> int:
    """A period in microseconds."""
    if isinstance(every_s, bool) or not isinstance(every_s, int | float):
        raise InvalidInput(f"a period is a number of seconds, not {every_s!r}")
    if not SHORTEST_S <= every_s <= LONGEST_S:
        raise InvalidInput(f"a period is from 1 second to 366 days, not {every_s:g} seconds; for longer ones use cron")
    return round(every_s * 1_000_000)


def _cron(cron: str, zone: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    minute, hour = cron.split()[:2]
    by_the_clock = minute.startswith("*") or hour.startswith("*")
    local = moment.astimezone(zone)
    # Within an hour that comes twice, the clock is going to show what it shows now, and what it showed before.
    again = (moment + (local.replace(fold=1).utcoffset() or timedelta())).replace(tzinfo=None)
    start = min(local.replace(tzinfo=None), again)
    folds = (0, 1) if by_the_clock else (0,)
    streams = [_moments(_walls(cron, start), zone, fold, left_out=not by_the_clock) for fold in folds]
    # What is not ambiguous comes from both streams.
    return (slot for slot, _ in groupby(heapq.merge(*streams)) if slot > moment)


def _walls(cron: str, start: datetime) -> Iterator[datetime]:
    """What the clock on the wall shows at the slots: datetimes without a zone."""
    remedy = "a cron expression has five fields: minute, hour, day of the month, month, day of the week"
    if not isinstance(cron, str) or len(cron.split()) != 5:
        raise InvalidInput(f"{remedy}; got {cron!r}")
    try:
        return CronSim(cron, start.replace(tzinfo=None))
    except CronSimError as error:
        raise InvalidInput(f"{str(error)[:1].lower()}{str(error)[1:]} in {cron!r}; {remedy}") from None


def _moments(walls: Iterable[datetime], zone: ZoneInfo, fold: int, *, left_out: bool) -> Iterator[datetime]:
    """When the clock shows that, for the first (``fold`` 0) or the second time; ``left_out``: also what it never
    shows, at the moment when it was set forward."""
    for wall in walls:
        shown = wall
        while not _is_shown(shown, zone):
            shown += _MINUTE
        if left_out or shown == wall:
            yield shown.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _is_shown(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether the clock ever shows that: not where it is set forward past it."""
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall


def _check_json(payload: Any) -> None:
    try:
        text = json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"a payload is a plain JSON value: {error}") from None
    if "\\u0000" in text.replace("\\\\", ""):
        raise InvalidInput("a payload is a plain JSON value, and PostgreSQL holds no NUL character")

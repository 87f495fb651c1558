"""Jobs at a set time: a reminder an hour before each appointment, and every night what has to be done for the day.

goque worker --app schedule_jobs:jobs
python schedule_jobs.py ann 2026-11-25T14:00+01:00
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta

import goque

jobs = goque.Registry()
BEFORE = timedelta(hours=1)


@dataclass
class Appointment:
    who: str
    at: datetime


@jobs.task("remind", payload=Appointment)
def remind(appointment: Appointment) -> str:
    return f"{appointment.who}, at {appointment.at:%H:%M} we expect you"


@jobs.cron("30 2 * * *", tz="Europe/Berlin", catch_up="all")
def close_the_day() -> str:
    """Once for each day, also for those on which no worker was there."""
    slot = goque.context().slot
    assert slot is not None
    return f"closed {slot.date() - timedelta(days=1)}"


def book(q: goque.Queue, who: str, at: datetime) -> goque.Task:
    """A reminder an hour before; none if nobody could send it until then."""
    appointment = Appointment(who, at)
    return q.enqueue("remind", appointment, run_at=at - BEFORE, expires=at, external_id=f"{who} {at.isoformat()}")


def move(q: goque.Queue, reminder: goque.Task, who: str, at: datetime) -> goque.Task:
    reminder.cancel("the appointment was moved")
    return book(q, who, at)


if __name__ == "__main__":
    with goque.Queue() as q:
        print(book(q, sys.argv[1], datetime.fromisoformat(sys.argv[2])))

"""Reports: every Monday morning by itself, any other week on demand, and each week once.

goque worker --app generate_reports:jobs
python generate_reports.py 2026-11-23 folder-for-reports
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import goque

jobs = goque.Registry()
FOLDER = "."


@dataclass
class Week:
    monday: date
    folder: str = FOLDER


@jobs.task("weekly_report", payload=Week, timeout="1h")
def weekly_report(week: Week) -> str:
    """It goes on where an attempt before it was stopped."""
    here = goque.context()
    lines: list[str] = here.restored or []
    for day in range(len(lines), 7):
        lines.append(f"{week.monday + timedelta(days=day)}: all is well")
        here.checkpoint(lines)
        here.progress(day + 1, 7, "days")
    path = Path(week.folder) / f"{week.monday}.txt"
    path.write_text("\n".join(lines))
    return str(path)


@jobs.cron("0 6 * * mon", tz="Europe/Berlin", catch_up="one")
def every_monday() -> None:
    """Runs for the week before, even if no worker was there at six."""
    here = goque.context()
    assert here.slot is not None
    last = here.slot.date() - timedelta(days=7)
    week = Week(last, os.environ.get("REPORTS", FOLDER))
    here.enqueue("weekly_report", week, external_id=last.isoformat())  # unless somebody has ordered it already


def order(q: goque.Queue, monday: date, folder: str = FOLDER) -> goque.Task:
    return q.enqueue("weekly_report", Week(monday, folder), external_id=monday.isoformat())


if __name__ == "__main__":
    with goque.Queue() as q:
        print(order(q, date.fromisoformat(sys.argv[1]), *sys.argv[2:]).result(timeout=600))

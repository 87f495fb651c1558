"""``goque schedules``: what is due when, and pausing it. Not for: declaring schedules, as apps do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime

from goque.cli.commands import UsageError
from goque.cli.connecting import add_place, opened, say
from goque.cli.tables import Column, Row, add_forms, for_machines, length, since, table, write_frame
from goque.history.records import records

_CHANGES = {"pause": "paused", "resume": "resumed", "forget": "forgotten"}


def schedules_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque schedules``."""
    add_place(parser)
    parser.add_argument("change", nargs="?", choices=_CHANGES, help="without one, they are listed")
    parser.add_argument("names", nargs="*", metavar="NAME", help="schedules; of forget, apps")
    parser.add_argument("--all", action="store_true", help="pause or resume every schedule there is")
    add_forms(parser)


def schedules(arguments: argparse.Namespace) -> None:
    """Schedules, by name, or a change of some."""
    if arguments.change is None:
        _list(arguments)
        return
    if bool(arguments.names) == arguments.all or (arguments.change == "forget" and arguments.all):
        raise UsageError(f"say what to {arguments.change}: names" + (", or --all" * (arguments.change != "forget")))
    with opened(arguments, changes=True) as queue:
        if arguments.change == "forget":
            for app in arguments.names:
                queue.forget_schedules(app)
        else:
            change = queue.pause_schedules if arguments.change == "pause" else queue.resume_schedules
            change(*arguments.names)
    say(f"{', '.join(arguments.names) or 'every schedule'}: {_CHANGES[arguments.change]}")


def _list(arguments: argparse.Namespace) -> None:
    with opened(arguments) as queue:
        frame = queue.schedules()
        if for_machines(arguments):
            write_frame(frame, arguments)
            return
        now = queue.now()
    rows = records(frame)
    say(table(_columns(now), rows) if rows else "no schedules; workers declare those of their --app when they start")


def _columns(now: datetime) -> Sequence[Column]:
    def when(row: Row) -> str:
        if row["cron"] is None:
            return f"every {length(row['every_s'])}"
        return f"{row['cron']} {row['tz']}"

    return (
        Column("NAME", lambda row: str(row["name"]), flexible=True),
        Column("TYPE", lambda row: str(row["type"]), flexible=True),
        Column("WHEN", when),
        Column("CATCH UP", lambda row: str(row["catch_up"])),
        Column("LAST", lambda row: since(row["last_at"], now), right=True),
        Column("NEXT", lambda row: since(row["next_at"], now), right=True),
        Column("STATE", lambda row: "paused" if row["paused"] else ""),
        Column("APP", lambda row: str(row["app"]), flexible=True),
    )

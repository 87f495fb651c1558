"""``goque status``: is there a server, does somebody work, does something wait. Not for: a diagnosis."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from goque.cli.connecting import add_place, opened, say, settings_of
from goque.cli.tables import Column, Row, count, length, since, table, tally
from goque.errors import MigrationNeeded
from goque.history.records import records
from goque.model.states import Status
from goque.settings import Settings

_LOOKED_FOR = (Status.NEW, Status.PROCESSING, Status.DONE)
WAITING = (Status.NEW, Status.PENDING, Status.PROCESSING, Status.ERROR)


@dataclass(slots=True)
class Seen:
    """What was found. ``remedies`` are what to do, most urgent first."""

    server: str
    schema: str = ""
    queues: Sequence[Row] = ()
    workers: Sequence[Row] = ()
    keys: Sequence[str] = ()
    now: datetime | None = None
    remedies: list[str] = field(default_factory=list)


def status_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque status``."""
    add_place(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def status(arguments: argparse.Namespace) -> None:
    """Look, start nothing, change nothing."""
    seen = _look(arguments)
    say(json.dumps(_plain(seen)) if arguments.json else _text(seen))


def _look(arguments: argparse.Namespace) -> Seen:
    from goque.postgres import embedded
    from goque.postgres.addresses import safe_dsn

    settings = settings_of(arguments)
    if settings.embedded:
        found = embedded.status(settings.home)
        if not found.running:
            return Seen(
                f"embedded in {settings.home}, not running",
                remedies=["Queue() in a notebook, goque worker or goque demo starts the embedded server"],
            )
        seen = Seen(f"embedded in {settings.home}, PostgreSQL {found.version}, pid {found.pid}")
        dsn = found.dsn or ""
    else:
        dsn = settings.dsn or ""
        seen = Seen(safe_dsn(dsn))
    if _schema(settings, dsn, seen):
        _contents(arguments, settings, seen)
    return seen


def _schema(settings: Settings, dsn: str, seen: Seen) -> bool:
    """Whether the schema is there and as it should be."""
    from goque.postgres import migrations
    from goque.postgres.database import Database

    database = Database(dsn, schema=settings.schema, pooler=not settings.embedded, read_only=True)
    try:
        migrations.check(database)
        seen.schema = f"{settings.schema}, up to date"
        return True
    except MigrationNeeded as error:
        state = "missing" if error.found is None else f"at migration {error.found}, this version knows {error.wanted}"
        seen.schema = f"{settings.schema}, {state}"
        seen.remedies.append(" ".join(str(error).split()))
        return False
    finally:
        database.close()


def _contents(arguments: argparse.Namespace, settings: Settings, seen: Seen) -> None:
    from goque.app.local import ring_of
    from goque.app.reasons import unserved_lanes, worker_command
    from goque.payload.keys import KeyKind

    with opened(arguments) as queue:
        seen.queues = records(queue.queues())
        seen.workers = records(queue.workers(alive=True))
        seen.now = queue.now()
        unserved = unserved_lanes(queue._core.database)
        command = worker_command(queue._core.database)
    key_file = settings.key_file if settings.embedded and settings.key_file.exists() else None
    seen.keys = ring_of(settings.secret, key_file).ids(KeyKind.CODE)
    waiting = sum(row[status] for row in seen.queues for status in WAITING)
    if not seen.workers and waiting:
        wait = "1 task waits" if waiting == 1 else f"{waiting:,} tasks wait"
        seen.remedies.append(f"{wait} and no worker is alive; start one with: {command}")
    seen.remedies += unserved
    for row in seen.queues:
        if row["paused"] and any(row[status] for status in WAITING):
            seen.remedies.append(f"queue {row['name']} is paused; goque resume --queue {row['name']}")
    if not seen.keys:
        seen.remedies.append("no key here: set GOQUE_SECRET to one secret for all clients and workers to sign work")


def _text(seen: Seen) -> str:
    lines = [f"server   {seen.server}"]
    if seen.schema:
        lines.append(f"schema   {seen.schema}")
    if seen.now is not None:
        lines.append(f"keys     {', '.join(seen.keys) or 'none'}")
        lines += ["", table(_queue_columns(seen), seen.queues) if seen.queues else "no work has been submitted yet"]
        lines += ["", table(_worker_columns(seen), seen.workers) if seen.workers else "no worker is alive"]
    if seen.remedies:
        lines += ["", *(f"! {remedy}" for remedy in seen.remedies)]
    return "\n".join(lines)


def _kept(row: Row) -> str:
    """The retention that is set for a queue; what is not set is the default."""
    kept = {what: row[f"keep_{what}_s"] for what in ("done", "failed", "batches")}
    return ", ".join(
        f"{what} {'for ever' if seconds == math.inf else length(seconds)}"
        for what, seconds in kept.items()
        if seconds is not None
    )


def _tally_of(status: Status, row: Row) -> str:
    return tally(row[status])


def _queue_columns(seen: Seen) -> Sequence[Column]:
    # All seven states leave no room on 80 columns: those that tell something, and those that are looked for.
    told = [status for status in Status if status in _LOOKED_FOR or any(row[status] for row in seen.queues)]
    return (
        Column("QUEUE", lambda row: row["name"], flexible=True),
        *(Column(status.upper(), partial(_tally_of, status), right=True) for status in told),
        Column("OLDEST READY", lambda row: length(row["oldest_ready_s"]), right=True),
        Column("", lambda row: "paused" if row["paused"] else ""),
        Column("KEEPS", lambda row: _kept(row), flexible=True),
    )


def _worker_columns(seen: Seen) -> Sequence[Column]:
    assert seen.now is not None
    now = seen.now
    # Keys are of interest where a worker cannot run what is submitted from here.
    strange = any(not set(seen.keys[:1]) <= set(row["key_ids"] or ()) for row in seen.workers)
    return (
        Column("WORKER", lambda row: str(row["id"]), right=True),
        Column("HOST", lambda row: row["host"], flexible=True),
        Column("PID", lambda row: str(row["pid"]), right=True),
        Column("SLOTS", lambda row: f"{count(row['slots'])} {row['pool']}", right=True),
        Column("RUNNING", lambda row: tally(row["running"]), right=True),
        Column("BUFFER", lambda row: tally(row["buffered"]), right=True),
        Column("PYTHON", lambda row: row["python"]),
        Column("QUEUES", lambda row: ",".join(row["queues"]) if row["queues"] is not None else "all", flexible=True),
        Column("TAGS", lambda row: ",".join(row["tags"] or ()), flexible=True),
        *([Column("KEYS", lambda row: ",".join(row["key_ids"] or ()) or "none", flexible=True)] if strange else ()),
        Column("OF", lambda row: f"{row['owner']}, local" if row["local"] else row["owner"]),
        Column("UP", lambda row: since(row["started_at"], now).removesuffix(" ago"), right=True),
    )


def _plain(seen: Seen) -> Mapping[str, Any]:
    def plain(row: Row) -> dict[str, Any]:
        # JSON knows no infinity, which is how long "for ever" is.
        shown = {name: "for ever" if value == math.inf else value for name, value in row.items()}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in shown.items()}

    return {
        "server": seen.server,
        "schema": seen.schema or None,
        "keys": list(seen.keys),
        "queues": [plain(row) for row in seen.queues],
        "workers": [plain(row) for row in seen.workers],
        "remedies": seen.remedies,
    }

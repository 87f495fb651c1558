"""``goque history``, ``tasks`` and ``batches``: what Queue's methods of these names show. Not for: the queries."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from goque.cli.connecting import add_place, opened, say
from goque.cli.tables import (
    Column,
    Row,
    add_forms,
    count,
    for_machines,
    length,
    since,
    table,
    tally,
    write_frame,
)
from goque.errors import HistoryTruncated, InvalidInput
from goque.history.records import records
from goque.model.durations import seconds
from goque.model.states import RunOutcome, Status

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 20
"""Rows of a table for people, unless they ask for more."""
Columns = Sequence[Column]


class Filter(NamedTuple):
    """An option that narrows what is shown, by the name that Queue's methods know."""

    help: str
    read: Callable[[str], Any]
    metavar: str


def words(text: str) -> list[str]:
    """Words separated by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def ids_or_names(text: str) -> list[int | str]:
    """Ids and names separated by commas."""
    return [int(word) if word.isdigit() else word for word in words(text)]


def ids(text: str) -> list[int]:
    """Ids separated by commas."""
    if not all(word.isdigit() for word in words(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers")
    return [int(word) for word in words(text)]


def moment(text: str) -> datetime | str:
    """A duration back from now, or a date and time, of this machine's time zone unless it names one."""
    try:
        seconds(text)
        return text
    except InvalidInput:
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no moment; write "2h" (ago), 2026-11-24 or 2026-11-24T03:00+01:00'
        ) from None


def pairs(text: str) -> dict[str, Any]:
    """KEY=VALUE separated by commas; a value is JSON where it can be read as that, else text."""
    found: dict[str, Any] = {}
    for word in words(text):
        key, sign, value = word.partition("=")
        if not sign:
            raise argparse.ArgumentTypeError(f"{word!r} has no value; write KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def place(text: str) -> int | list[int]:
    """ID, or ID,RUN."""
    numbers = ids(text)
    if len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(f"{text!r} is no place; write ID, or ID,RUN for history")
    return numbers if len(numbers) == 2 else numbers[0]


FILTERS: Mapping[str, Filter] = {
    "status": Filter(f"only these: {', '.join(Status)}", words, "A,B"),
    "outcome": Filter(f"how the run ended: {', '.join(RunOutcome)}", words, "A,B"),
    "task_status": Filter("runs of tasks that are now in these states", words, "A,B"),
    "since": Filter('what happened after this: "2h" (ago) or a date and time', moment, "TIME"),
    "until": Filter("what happened before this", moment, "TIME"),
    "queue": Filter("of these queues", words, "A,B"),
    "type": Filter("of these functions or task types", words, "A,B"),
    "batch": Filter("of these batches, by id, name (mine) or owner/name", ids_or_names, "A,B"),
    "owner": Filter("of these owners", words, "A,B"),
    "worker": Filter("run by these workers, by id or host", ids_or_names, "A,B"),
    "external_id": Filter("with these external ids", words, "A,B"),
    "task": Filter("these tasks, by id", ids, "ID,ID"),
    "error_type": Filter("failed with these exceptions", words, "A,B"),
    "error": Filter("with this text in the error", str, "TEXT"),
    "attempts": Filter("with so many attempts", ids, "N,N"),
    "longer_than": Filter('ran for longer than this, such as "10m"', str, "TIME"),
    "metadata": Filter("with this in the metadata", pairs, "KEY=VALUE"),
}
_OF_BATCHES = ("status", "since", "until", "batch", "owner", "type", "metadata")
OF_TASKS = tuple(name for name in FILTERS if name not in ("outcome", "task_status", "error_type", "error"))


def history_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque history``."""
    _add_filters(parser, tuple(FILTERS))


def tasks_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque tasks``."""
    _add_filters(parser, OF_TASKS)


def batches_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque batches``."""
    _add_filters(parser, _OF_BATCHES)


def history(arguments: argparse.Namespace) -> None:
    """Runs, and tasks that have not run."""
    _look(arguments, "history", _history_columns)


def tasks(arguments: argparse.Namespace) -> None:
    """Tasks."""
    _look(arguments, "tasks", _task_columns)


def batches(arguments: argparse.Namespace) -> None:
    """Batches with their counts."""
    _look(arguments, "batches", _batch_columns)


def add_filters(parser: argparse.ArgumentParser, names: Sequence[str], title: str) -> argparse._ArgumentGroup:
    """Options that narrow what is meant, in a group of their own."""
    group = parser.add_argument_group(title, "several values are separated by commas")
    for name in names:
        chosen = FILTERS[name]
        group.add_argument(f"--{name.replace('_', '-')}", type=chosen.read, metavar=chosen.metavar, help=chosen.help)
    return group


def _add_filters(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    add_place(parser)
    group = add_filters(parser, names, "which rows")
    group.add_argument("--order-by", type=words, metavar="COLUMN", help="such as -run_s, the longest first")
    group.add_argument("--after", type=place, metavar="ID", help="go on behind this row, in the order of ids")
    group.add_argument("--columns", type=words, metavar="A,B", help="only these columns")
    group.add_argument(
        "--limit",
        type=_limit,
        metavar="N",
        help=f"rows at most (default: {SHOWN}; 1,000,000 for --json, --csv, --parquet)",
    )
    add_forms(parser)
    parser.set_defaults(filters=(*names, "order_by", "after", "columns", "limit"))


def _look(arguments: argparse.Namespace, what: str, columns_at: Callable[[datetime], Columns]) -> None:
    filters = {name: value for name in arguments.filters if (value := getattr(arguments, name)) is not None}
    with opened(arguments) as queue:
        if for_machines(arguments):
            write_frame(getattr(queue, what)(**filters), arguments)
            return
        filters.setdefault("limit", SHOWN)
        frame, cut = _cut(partial(getattr(queue, what), **filters))
        now = queue.now()
    rows = records(frame)
    if not rows:
        say("nothing matches" if len(filters) > 1 else f"no {what} yet; q.map(func, items) or goque demo makes some")
        return
    chosen = [_any_column(name, now) for name in arguments.columns] if arguments.columns else columns_at(now)
    say(table(chosen, rows))
    if (last := frame.attrs.get("next")) is not None:
        behind = ",".join(str(number) for number in (last if isinstance(last, list) else [last]) if number is not None)
        say(f"\nthe first {filters['limit']:,}; --after {behind} goes on")
    if cut and arguments.limit is None:
        narrowing = [f"--{name}" for name in ("since", "status", "batch") if name in {*arguments.filters} - {*filters}]
        say(f"\nthe first {SHOWN}; --limit N shows more" + (f", {' or '.join(narrowing)} less" if narrowing else ""))


def _cut(look: Callable[[], DataFrame]) -> tuple[DataFrame, bool]:
    """The frame, and whether the limit cut it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame = look()
    for warning in said:
        if not issubclass(warning.category, HistoryTruncated):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return frame, any(issubclass(warning.category, HistoryTruncated) for warning in said)


def _limit(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


def _history_columns(now: datetime) -> Columns:
    def when(row: Row) -> str:
        return since(row["finished_at"] or row["started_at"] or row["created_at"], now)

    def status(row: Row) -> str:
        outcome = row["outcome"]
        return str(row["status"]) + (f" ({outcome})" if outcome not in (None, row["status"]) else "")

    return (
        Column("WHEN", when, right=True),
        Column("TASK", _task_name),
        Column("RUN", lambda row: count(row["run"]), right=True),
        Column("STATUS", status),
        Column("FUNCTION", lambda row: _short(row["type"])),
        Column("TOOK", lambda row: length(row["run_s"]), right=True),
        Column("WORKER", lambda row: count(row["worker"]), right=True),
        Column("ERROR", _error, flexible=True),
    )


def _task_columns(now: datetime) -> Columns:
    return (
        Column("CREATED", lambda row: since(row["created_at"], now), right=True),
        Column("TASK", lambda row: _task_name({**row, "task_id": row["id"]})),
        Column("STATUS", lambda row: str(row["status"])),
        Column("QUEUE", lambda row: str(row["queue"])),
        Column("FUNCTION", lambda row: _short(row["type"])),
        Column("ATTEMPTS", lambda row: f"{row['attempts']}/{row['max_attempts']}", right=True),
        Column("TOOK", lambda row: length(row["run_s"]), right=True),
        Column("DUE", lambda row: since(row["run_at"], now), right=True),
        Column("EXTERNAL ID", lambda row: row["external_id"] or "", flexible=True),
        Column("ERROR", _error, flexible=True),
    )


def _batch_columns(now: datetime) -> Columns:
    def state(row: Row) -> str:
        if row["canceled_at"] is not None:
            return "canceled"
        if row["paused"] and row["unfinished"]:
            return "paused"
        if not row["unfinished"]:
            return "finished"
        return "running" if any(row[name] for name in ("processing", "error", "done", "attempts_left")) else "waiting"

    return (
        Column("CREATED", lambda row: since(row["created_at"], now), right=True),
        Column("ID", lambda row: str(row["id"]), right=True),
        Column("NAME", lambda row: f"{row['owner']}/{row['name']}" if row["name"] else "", flexible=True),
        Column("FUNCTION", lambda row: _short(row["type"])),
        Column("TASKS", lambda row: count(row["total"]), right=True),
        Column("DONE", lambda row: tally(row["done"]), right=True),
        Column("FAILED", lambda row: tally(row["attempts_left"]), right=True),
        Column("CANCELED", lambda row: tally(row["canceled"]), right=True),
        Column("LEFT", lambda row: tally(row["unfinished"]), right=True),
        Column("STATE", state),
    )


def _any_column(name: str, now: datetime) -> Column:
    def cell(row: Row) -> str:
        value = row[name]
        if value is None:
            return ""
        if isinstance(value, datetime):
            return since(value, now)
        if name.endswith("_s"):
            return length(value)
        return f"{value:,.1f}" if isinstance(value, float) else str(value)

    return Column(
        name,
        cell,
        right=name.endswith("_s"),
        flexible=name in ("error", "traceback", "log_tail", "args_repr"),
        wanted=True,
    )


def _task_name(row: Row) -> str:
    """A task of a batch by the batch and its place, which says more than a number of 13 digits."""
    return f"{row['batch']}[{row['position']}]" if row["position"] is not None else str(row["task_id"])


def _short(type_name: str) -> str:
    """The last part of a dotted name."""
    return type_name.rpartition(".")[2]


def _error(row: Row) -> str:
    kind, message = row.get("error_type"), row.get("error") or row.get("reason") or ""
    first = message.strip().splitlines()[0] if message.strip() else ""
    return f"{_short(kind)}: {first}" if kind else first

"""``goque demo``: goque at work on input that every machine has. Not for: the function it maps (``app.survey``)."""

from __future__ import annotations

import argparse
import sysconfig
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goque.cli.connecting import add_place, say, settings_of
from goque.cli.tables import Column, table
from goque.errors import GoqueError, InvalidInput
from goque.history.records import records
from goque.model.durations import in_words

if TYPE_CHECKING:
    from goque.app.batch import Batch
    from goque.app.queue import Queue

TOP = 10
_INSTALLED = {"site-packages", "dist-packages", "__pycache__"}


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque demo``."""
    add_place(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="so many files only, evenly chosen")


def demo(arguments: argparse.Namespace) -> None:
    """Map, show, sum up, and leave nothing running that did not run before."""
    from goque.app.queue import Queue
    from goque.postgres import embedded
    from goque.settings import usable_cores

    root = Path(sysconfig.get_path("stdlib"))
    files = chosen(sources(root), arguments.limit)
    settings = settings_of(arguments)
    ran_before = not settings.embedded or embedded.status(settings.home).running
    if not ran_before:
        say(f"starting the embedded server in {settings.home}")
    cores = usable_cores()
    queue = Queue(settings.dsn, schema=settings.schema, workers=cores)
    try:
        say(f"mapping one function over {len(files):,} files of {root}, on {cores} cores\n")
        _run(queue, files, root)
    finally:
        wanted = ran_before or _has_company(queue)
        queue.close()
        if not wanted:
            embedded.stop(settings.home)


def _has_company(queue: Queue) -> bool:
    """Whether somebody else has come to work here meanwhile, or that cannot be told."""
    with suppress(GoqueError):
        return any(not worker["local"] for worker in records(queue.workers(alive=True)))
    return True


def sources(root: Path) -> list[str]:
    """The source files of the standard library, its tests included.

    Raises:
        InvalidInput: there are none, as where Python comes frozen or compiled only.
    """
    found = sorted(str(file) for file in root.rglob("*.py") if not _INSTALLED & set(file.relative_to(root).parts))
    if not found:
        raise InvalidInput(
            f"this Python has no sources of its standard library in {root}, and the demo needs some; run it with a "
            "Python that has them, such as one of python.org, Debian, Homebrew or uv"
        )
    return found


def chosen(files: Sequence[str], limit: int | None) -> list[str]:
    """All of them, or ``limit`` of them, spread evenly, so that they are of all kinds.

    Raises:
        InvalidInput: the limit is below 1.
    """
    if limit is None or limit >= len(files):
        return list(files)
    if limit < 1:
        raise InvalidInput(f"--limit takes a number of files from 1, not {limit}")
    return [files[place * len(files) // limit] for place in range(limit)]


def _run(queue: Queue, files: Sequence[str], root: Path) -> None:
    from goque.app.survey import survey

    began = time.monotonic()
    # A file that does not parse will not parse at a second attempt either.
    batch = queue.map(survey, files, max_attempts=1, timeout="1m")
    try:
        batch.progress()
        elapsed = time.monotonic() - began
        results = batch.results(errors="skip")
    except KeyboardInterrupt:
        batch.cancel("the demo was interrupted")
        raise
    say(f"\nthe {TOP} most complex functions\n")
    say(_complex(results, root))
    say(f"\nq.history(batch={batch.id}).query(\"status=='error'\"), by error_type\n")
    say(_failures(queue, batch, root))
    lines = sum(result["lines"] for result in results)
    say(
        f"\n{len(batch):,} files with {lines:,} lines in {in_words(elapsed)}: {len(batch) / elapsed:,.0f} files/s, "
        f"{lines / elapsed:,.0f} lines/s\n"
    )
    say(_farther(batch))


def _complex(results: Sequence[dict[str, Any]], root: Path) -> str:
    rows = [{**function, "path": result["path"]} for result in results for function in result["complex"]]
    rows.sort(key=lambda row: (-row["complexity"], row["path"]))
    columns = (
        Column("COMPLEXITY", lambda row: str(row["complexity"]), right=True),
        Column("FUNCTION", lambda row: row["name"]),
        Column("WHERE", lambda row: f"{Path(row['path']).relative_to(root)}:{row['line']}", flexible=True),
    )
    return table(columns, rows[:TOP])


def _failures(queue: Queue, batch: Batch, root: Path) -> str:
    failed = queue.history(batch=batch.id).query("status=='error'")
    if not len(failed):
        return "none of these files failed"
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in records(failed):
        groups.setdefault(row["error_type"] or row["outcome"], []).append(row)
    rows = [{"kind": kind, "number": len(members), **members[0]} for kind, members in groups.items()]
    rows.sort(key=lambda row: -row["number"])
    columns = (
        Column("ERROR", lambda row: row["kind"]),
        Column("FILES", lambda row: f"{row['number']:,}", right=True),
        Column("FOR EXAMPLE", lambda row: _relative(row, batch, root)),
        Column("", lambda row: (row["error"] or "").splitlines()[0] if row["error"] else "", flexible=True),
    )
    return table(columns, rows)


def _relative(row: Mapping[str, Any], batch: Batch, root: Path) -> str:
    return str(Path(batch[int(row["position"])].args[0]).relative_to(root))


def _farther(batch: Batch) -> str:
    return f"""\
go on in a notebook:
  from goque import Queue
  q = Queue()
  batch = q.batch({batch.id})
  batch.to_frame()                                  one row per file
  batch.errors()                                    failures with a sample traceback
  q.history().query("status=='error'")
or here:
  goque status
  goque history --batch {batch.id} --status error"""

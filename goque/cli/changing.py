"""``goque retry``, ``cancel``, ``pause`` and ``resume``. Not for: the verbs (``Queue``, ``Batch``)."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from goque.cli.commands import UsageError
from goque.cli.connecting import add_place, opened, say
from goque.cli.looking import OF_TASKS, add_filters
from goque.errors import NotFound
from goque.model.states import UNFINISHED, Status

if TYPE_CHECKING:
    from goque.app.batch import Batch
    from goque.app.queue import Queue
    from goque.app.verbs import Changed

DECLINED = 1
"""The exit code after "no"."""
NARROWING = tuple(name for name in OF_TASKS if name not in ("task", "batch"))
LOOK_S = 0.5
LONG = 5_000
"""From so many tasks on, a change shows on a terminal how far it is."""


def retry_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque retry``."""
    _add_targets(parser)
    parser.add_argument("--force", action="store_true", help="also what is done")
    parser.add_argument("--keep-attempts", action="store_true", help="allow one more attempt, do not count from 0")
    parser.add_argument("--error-type", metavar="TYPE", help="of batches: only what failed with this exception")


def cancel_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque cancel``."""
    _add_targets(parser)
    parser.add_argument("--reason", help="kept with the tasks, and said by TaskCanceled")


def pause_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque pause``."""
    add_place(parser)
    parser.add_argument("batches", nargs="*", metavar="BATCH", help="id, name (mine) or owner/name")
    parser.add_argument("--queue", nargs="+", default=[], metavar="NAME", help="queues")
    parser.add_argument("--all", action="store_true", help="every queue, later ones included")


resume_arguments = pause_arguments


def retry(arguments: argparse.Namespace) -> int:
    """Run failed and canceled tasks again."""
    wanted = {Status.ERROR, Status.ATTEMPTS_LEFT, Status.CANCELED} | ({Status.DONE} if arguments.force else set())
    return _change(arguments, wanted, {"reset": not arguments.keep_attempts, "force": arguments.force})


def cancel(arguments: argparse.Namespace) -> int:
    """Cancel batches and tasks."""
    return _change(arguments, UNFINISHED, {"reason": arguments.reason})


def _change(arguments: argparse.Namespace, wanted: Collection[Status], given: dict[str, Any]) -> int:
    """Say how many tasks are meant, ask, and change them."""
    verb, filters = arguments.command, _filters(arguments)
    error_type = getattr(arguments, "error_type", None)
    if not (arguments.batches or arguments.task or filters):
        raise UsageError(f"say what to {verb}: a batch, --task ID, or filters such as --queue")
    if filters and (arguments.task or error_type):
        raise UsageError(f"{'--task' if arguments.task else '--error-type'} and filters of tasks do not go together")
    with opened(arguments, changes=not arguments.dry_run) as queue:
        batches = [_batch(queue, name) for name in arguments.batches]
        if error_type:
            batches = [batch.where(error_type=error_type) for batch in batches]
        if filters and batches:
            filters["batch"] = [batch.id for batch in batches]
        if filters:
            say(f"{_matching(queue, filters, wanted):,} tasks to {verb}")
        for batch in () if filters else batches:
            say(f"{_named(batch)}: {_number(batch, wanted):,} of {batch.total:,} tasks to {verb}")
        if arguments.dry_run:
            if arguments.task:
                say(f"{_matching(queue, {'task': arguments.task}, wanted):,} tasks to {verb}, named by their ids")
            return 0
        if (filters or batches) and not _agreed(verb, arguments):
            return DECLINED
        if filters:
            say(str(getattr(queue, verb)(**filters, **given)))
            return 0
        for batch in batches:
            say(f"{_named(batch)}: {_shown(batch, partial(getattr(batch, verb), **given), wanted)}")
        if arguments.task:
            say(str(getattr(queue, verb)(*arguments.task, **given)))
    return 0


def _filters(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name in NARROWING if (value := getattr(arguments, name)) is not None}


def _matching(queue: Queue, filters: dict[str, Any], wanted: Collection[Status]) -> int:
    """How many tasks match that would be changed."""
    status = [name for name in filters.get("status", wanted) if name in wanted]
    return queue.count(**{**filters, "status": status}) if status else 0


def pause(arguments: argparse.Namespace) -> None:
    """Start nothing more of these."""
    _set_paused(arguments, "pause", "paused")


def resume(arguments: argparse.Namespace) -> None:
    """Take back a pause."""
    _set_paused(arguments, "resume", "resumed")


def _set_paused(arguments: argparse.Namespace, verb: str, done: str) -> None:
    if not (arguments.batches or arguments.queue or arguments.all):
        raise UsageError(f"say what to {verb}: a batch, --queue NAME, or --all")
    with opened(arguments, changes=True) as queue:
        # Found first, so that a wrong name changes nothing.
        for batch in [_batch(queue, name) for name in arguments.batches]:
            getattr(batch, verb)()
            say(f"{_named(batch)}: {done}")
        if arguments.queue:
            getattr(queue, verb)(*arguments.queue)
            say(f"queue {', '.join(arguments.queue)}: {done}")
        if arguments.all:
            getattr(queue, verb)()
            say(f"every queue: {done}")


def _add_targets(parser: argparse.ArgumentParser) -> None:
    add_place(parser)
    parser.add_argument("batches", nargs="*", metavar="BATCH", help="id, name (mine) or owner/name")
    parser.add_argument("--task", nargs="+", type=int, default=[], metavar="ID", help="single tasks, by id")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")
    add_filters(parser, NARROWING, "tasks that match, of these batches or of all")


def _batch(queue: Queue, name: str) -> Batch:
    """A batch by what was written; digits are an id, unless only a name fits."""
    keys: list[int | str] = [int(name), name] if name.isdigit() else [name]
    for key in keys:
        with suppress(NotFound):
            return queue.batch(key)
    raise NotFound(f"there is no batch {name!r}; goque batches lists them")


def _named(batch: Batch) -> str:
    return f"batch {batch.id}" + (f" {batch.owner}/{batch.name}" if batch.name else "")


def _agreed(verb: str, arguments: argparse.Namespace) -> bool:
    """Ask whether those that were told of are meant.

    Raises:
        UsageError: nobody can be asked.
    """
    if arguments.yes:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"there is no terminal to ask on, and nothing was changed; goque {verb} --yes does not ask")
    sys.stdout.write(f"{verb} them? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    say("nothing was changed")
    return False


def _number(batch: Batch, wanted: Collection[Status]) -> int:
    return sum(number for status, number in batch.counts().items() if status in wanted)


def _shown(batch: Batch, change: Callable[[], Changed], before: Collection[Status]) -> Changed:
    """Make a change; a long one shows on a terminal how many tasks are still as they were."""
    if batch.total < LONG or not sys.stderr.isatty():
        return change()
    found: list[Changed | BaseException] = []

    def work() -> None:
        try:
            found.append(change())
        except BaseException as error:
            found.append(error)

    # A daemon: who interrupts it wants the prompt back now.
    thread = threading.Thread(target=work, name="goque-change", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_S)
        sys.stderr.write(f"\r{_named(batch)}: {_number(batch, before):,} to go\x1b[K")
        sys.stderr.flush()
    sys.stderr.write("\r\x1b[K")
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]

"""``goque worker``: its options are the fields of ``WorkerConfig``. Not for: the worker (``app.serve``)."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from goque.cli.commands import UsageError
from goque.cli.connecting import add_place, settings_of
from goque.errors import AppUnusable, InvalidInput
from goque.model.durations import in_words, seconds
from goque.model.events import Events
from goque.observe import logs
from goque.settings import seconds_left, usable_cores
from goque.worker.child.apps import checked
from goque.worker.crew import WorkerConfig

SIZES = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12}
SIZES |= {"tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
APP_UNUSABLE = 3
SPARE_S = 10.0
"""What a worker leaves of a batch job's time."""
SIGNALED = 128
"""A process that a signal ended exits with this and its number, by the custom of shells."""


class Flag(NamedTuple):
    """How a field of the configuration is given on the command line; ``read`` is None for a switch."""

    option: str
    help: str
    read: Callable[[str], Any] | None = None
    metavar: str = ""


def duration(text: str) -> float:
    """Seconds from "10m", more than none."""
    try:
        length = seconds(text)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if length < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is negative")
    return length


def runtime(text: str) -> float:
    """Seconds from "3h50m"; "auto" is what the batch job has left, but for a little to start and to end in."""
    if text != "auto":
        length = duration(text)
        if not length:
            raise argparse.ArgumentTypeError("in no time a worker can do nothing; leave it out for no limit")
        return length
    left = seconds_left()
    if left is None:
        raise argparse.ArgumentTypeError(
            'nothing says when this batch job ends (SLURM_JOB_END_TIME is not set); write the time it has, as "3h50m"'
        )
    return max(0.0, left - SPARE_S)


def size(text: str) -> int:
    """Bytes from "2GB" or "512MiB"."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in SIZES:
        raise argparse.ArgumentTypeError(f'{text!r} is not a size; write "2GB" or "512MiB"')
    return int(float(match[1]) * SIZES[match[2]])


def number(text: str) -> int:
    """A whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def port(text: str) -> int:
    """A TCP port."""
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, which is a number up to 65535")
    return int(text)


def names(text: str) -> list[str]:
    """Names separated by commas."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("give one or more names, separated by commas")
    return found


def pool(text: str) -> str:
    """The kind of pool."""
    if text not in ("process", "thread"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither process nor thread")
    return text


def app(text: str) -> str:
    """Where a registry is."""
    try:
        return checked(text)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def thread_limit(text: str) -> int | None:
    """Threads of numeric libraries, None for their own choice."""
    return None if text == "any" else number(text)


FLAGS: Mapping[str, Flag] = {
    "slots": Flag("--concurrency", "tasks at once (default: one per usable core)", number, "N"),
    "pool": Flag("--pool", "process: a child per slot; thread: one child, for code that waits", pool, "KIND"),
    "queues": Flag("--queues", "queues to serve (default: every queue)", names, "A,B"),
    "tags": Flag("--tags", "what this machine offers to tasks that ask for it", names, "A,B"),
    "callables": Flag("--no-callables", "take named task types only, no functions that were sent"),
    "grace": Flag("--grace", "how long running tasks may go on after a signal", duration, "TIME"),
    "drain": Flag("--drain", "end when nothing this worker may take is left to do"),
    "idle_exit": Flag("--idle-exit", "end after this long without work", duration, "TIME"),
    "max_runtime": Flag(
        "--max-runtime",
        "end after this long, auto: before the batch job does; start nothing whose timeout does not fit",
        runtime,
        "TIME",
    ),
    "max_tasks": Flag("--max-tasks", "end after this many tasks", number, "N"),
    "max_tasks_per_child": Flag("--max-tasks-per-child", "replace a child after this many tasks", number, "N"),
    "max_memory": Flag("--max-memory", "stop a child that uses more than this", size, "SIZE"),
    "clean": Flag("--no-clean", "leave what is past its retention to other workers, and to goque clean"),
    "threads": Flag("--threads", "threads of numeric libraries per child, or any", thread_limit, "N"),
}
"""The options, by field of ``WorkerConfig``."""
ELSEWHERE = frozenset({"slot_environment", "apps", "lanes", "local", "owner", "listen", "result_limit"})
"""Fields without such an option: ``--slot-env``, ``--app``, ``--no-listen`` are below; the rest: local workers."""


def worker_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque worker``."""
    add_place(parser)
    group = parser.add_argument_group("how it works", 'times: seconds, "10m", "3h50m"; sizes: "2GB", "512MiB"')
    for name, flag in FLAGS.items():
        preset = _preset(name)
        if flag.read is None:
            group.add_argument(flag.option, dest=name, action=f"store_{str(not preset).lower()}", help=flag.help)
            continue
        default = "" if preset in (None, (), 1) and name != "threads" else f" (default: {_shown(name, preset)})"
        group.add_argument(
            flag.option, dest=name, type=flag.read, metavar=flag.metavar, help=flag.help + default, default=preset
        )
    parser.set_defaults(slots=None)
    group.add_argument(
        "--slot-env",
        action="append",
        default=[],
        metavar="NAME=A,B",
        help="a value of an environment variable for each slot in turn; may be repeated",
    )
    group.add_argument(
        "--app",
        action="append",
        default=[],
        type=app,
        metavar="MODULE:NAME",
        help="a goque.Registry whose named task types are run as well; may be repeated",
    )
    group.add_argument("--no-listen", action="store_true", help="behind PgBouncer in transaction mode: only poll")
    levels = ("debug", "info", "warning", "error")
    group.add_argument("--metrics-port", type=port, metavar="PORT", help="serve Prometheus metrics; 0: any free port")
    address = "127.0.0.1"
    group.add_argument("--metrics-address", default=address, help=f"where to serve them (default: {address})")
    group.add_argument("--log-format", choices=("text", "json"), default="text", help="json: an object a line")
    group.add_argument("--log-level", choices=levels, default="info", help="what is said (default: info)")


def worker(arguments: argparse.Namespace) -> int:
    """Serve until the end."""
    config = config_of(arguments)
    from goque.app.serve import serve

    events = Events()
    logs.set_up(arguments.log_level, arguments.log_format, events)
    try:
        served = serve(settings_of(arguments), config, arguments.app, events=events, metrics=_metrics(arguments))
    except AppUnusable as error:
        print(f"goque: {error}", file=sys.stderr)
        return APP_UNUSABLE
    return SIGNALED + served.at_once if served.at_once else 0


def config_of(arguments: argparse.Namespace) -> WorkerConfig:
    """The configuration that these arguments ask for.

    Raises:
        UsageError: they do not go together.
    """
    given = {name: getattr(arguments, name) for name in FLAGS}
    variables = [_variable(text) for text in arguments.slot_env]
    slots = given.pop("slots")
    if slots is None:
        slots = max([len(values) for _, values in variables], default=0) or usable_cores()
    if variables and given["pool"] == "thread":
        raise UsageError("--slot-env needs --pool process: the slots of a thread pool share one environment")
    for name, values in variables:
        if len(values) > slots:
            raise UsageError(f"--slot-env {name} has {len(values)} values for {slots} slots; raise --concurrency")
    environment = [{name: values[slot % len(values)] for name, values in variables} for slot in range(slots)]
    return WorkerConfig(
        slots=slots, slot_environment=environment if variables else (), listen=not arguments.no_listen, **given
    )


def _metrics(arguments: argparse.Namespace) -> tuple[str, int] | None:
    return None if arguments.metrics_port is None else (arguments.metrics_address, arguments.metrics_port)


def _variable(text: str) -> tuple[str, Sequence[str]]:
    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise UsageError(f"--slot-env is NAME=A,B with a value per slot, not {text!r}")
    return name, values.split(",")


def _preset(name: str) -> Any:
    found = next(field.default for field in fields(WorkerConfig) if field.name == name)
    return None if found is MISSING else found


def _shown(name: str, preset: Any) -> str:
    return in_words(preset) if name == "grace" else str(preset)

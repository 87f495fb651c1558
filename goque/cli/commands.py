"""Which commands there are, and what they have in common: arguments, errors, exit codes. Not for: their work.

The module of a command is imported when that command is used, so that ``goque --help`` is quick.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

from goque.errors import GoqueError, InvalidInput
from goque.version import VERSION

FAILED, WRONG_USE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
"""Exit codes; the last two are what shells give to a process that a signal ended."""


class Command(NamedTuple):
    """A command: where it is implemented, what it does in a line, and examples.

    Its module has ``<name>_arguments(parser)`` and ``<name>(arguments) -> int | None``, the exit code.
    """

    module: str
    summary: str
    examples: str


_ASKED = """
Says how many tasks are meant and asks, unless they are named by --task;
--yes does not ask, --dry-run says how many and changes nothing.

exit codes:
  0    it is done
  1    the answer was no, or there is no such batch; nothing was changed
  2    the arguments make no sense, or there is no terminal to ask on; nothing
       was changed"""

COMMANDS = {
    "worker": Command(
        "serving",
        "run tasks until told to stop",
        """\
  goque worker                      embedded server, one slot per usable core
  goque worker --queues etl,default --concurrency 8
  goque worker --app mypackage.jobs:jobs        also types of a goque.Registry
  goque worker --drain              end when nothing is left to do
  goque worker --idle-exit 10m --max-runtime 3h50m
  goque worker --drain --max-runtime auto       until a Slurm job ends
  goque worker --slot-env CUDA_VISIBLE_DEVICES=0,1 --tags gpu
  goque worker --pool thread --concurrency 64   for code that mostly waits

exit codes:
  0    it ended as asked: drained, idle, at a maximum, after SIGTERM or SIGINT
  1    it could not start or go on; the reason is on standard error
  2    the arguments make no sense
  3    an --app could not be loaded; what its import said is on standard error
  130  a second SIGINT stopped it at once (143: SIGTERM), and handed back what
       ran""",
    ),
    "status": Command(
        "status",
        "server, schema, queues, workers and keys, with remedies",
        "  goque status\n  goque status --dsn service=jobs --json",
    ),
    "history": Command(
        "looking",
        "every run, and every task that has not run, newest first",
        """\
  goque history
  goque history --status error --since 2h
  goque history --batch nightly --order-by -run_s --limit 5
  goque history --since 2026-11-01 --csv > november.csv""",
    ),
    "tasks": Command(
        "looking",
        "one row per task, newest first",
        "  goque tasks --status error,attempts_left\n  goque tasks --queue etl --limit 100 --json",
    ),
    "batches": Command(
        "looking", "one row per batch with its counts, newest first", "  goque batches\n  goque batches --owner ann"
    ),
    "schedules": Command(
        "schedules",
        "what is due when; pausing, and forgetting what an app declared",
        """\
  goque schedules
  goque schedules pause nightly          what it misses is not made up for
  goque schedules resume nightly
  goque schedules forget shop.jobs:jobs  before an older version of it starts""",
    ),
    "retry": Command(
        "changing",
        "run failed and canceled tasks again",
        """\
  goque retry nightly            what failed or was canceled in my batch
  goque retry ann/nightly 1042   another owner's batch, and a batch by its id
  goque retry nightly --error-type TimeoutError
  goque retry --task 1042000000007 --force   a task that is done already
  goque retry --queue etl --status attempts_left --since 2h --yes
"""
        + _ASKED,
    ),
    "cancel": Command(
        "changing",
        "cancel batches and tasks; code that runs is stopped",
        """\
  goque cancel nightly --reason 'wrong input'
  goque cancel --task 1042000000007 17
  goque cancel --queue etl --status new,pending --since 1h
"""
        + _ASKED,
    ),
    "pause": Command(
        "changing",
        "start nothing more of batches or queues; what runs goes on",
        "  goque pause nightly\n  goque pause --queue etl reports\n  goque pause --all",
    ),
    "resume": Command(
        "changing",
        "take back a pause",
        "  goque resume nightly\n  goque resume --queue etl\n  goque resume --all",
    ),
    "clean": Command(
        "cleaning",
        "remove now what is past its retention, as workers do by themselves",
        "  goque clean --dry-run            how much that would be\n  goque clean --queue etl --json",
    ),
    "doctor": Command(
        "doctor",
        "what is wrong with server, schema, workers and keys, and what helps",
        """\
  goque doctor
  goque doctor --json

exit codes:
  0    nothing worse than a warning was found
  1    an error was found: work is lost, refused or not done""",
    ),
    "migrate": Command(
        "schema",
        "bring the database's schema up to this version",
        """\
  goque migrate
  goque migrate --check            say what is missing (exit code 1)
  goque migrate --sql > goque.sql  all of it as SQL, for psql
  goque migrate --roles            make roles with the least rights
  goque migrate --roles --sql      these as SQL
  goque migrate --roles --check    say what roles lack""",
    ),
    "server": Command(
        "server",
        "the embedded server: whether it runs, and stopping it",
        """\
  goque server status    exit code 0 if it runs, 3 if not
  goque server stop      ends all connections to it; the data stay""",
    ),
    "key": Command(
        "keys",
        "make or show the secret that signs work",
        """\
  goque key new              a fresh one: export GOQUE_SECRET=$(goque key new)
  goque key show             the secret, for another client or worker
  goque key show --results   a key that reads results and cannot submit code""",
    ),
    "demo": Command(
        "demo",
        "see it work: measure every file of Python's standard library",
        "  goque demo\n  goque demo --limit 200",
    ),
    "bench": Command(
        "bench",
        "measure goque beside raw SQL and other executors, from a source tree",
        "  goque bench\n  goque bench enqueue drain --rounds 3\n  goque bench --json > figures.json",
    ),
}


def run(argv: Sequence[str]) -> int:
    """Run the command that these arguments name; its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            code = _run(argv)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            # Whoever read has seen enough. What is still buffered must not fail once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        except KeyboardInterrupt as interrupt:
            _say(str(interrupt) or "interrupted")
            return INTERRUPTED
        except UsageError as error:
            _say(str(error))
            return WRONG_USE
        except GoqueError as error:
            _say(" ".join(str(error).split()))
            return FAILED


class UsageError(InvalidInput):
    """Arguments that cannot be meant together; the message says which."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the word that was meant where one is close."""

    def error(self, message: str) -> NoReturn:
        """
        Raises:
            UsageError: always.
        """
        raise UsageError(f"{message}; see {self.prog} --help")

    def unknown(self, words: Sequence[str]) -> NoReturn:
        """Refuse arguments that nothing reads.

        Raises:
            UsageError: always.
        """
        self.error(f"{words[0]} is not understood{_meant(words[0], self._option_string_actions)}")


def _run(argv: Sequence[str]) -> int:
    chosen = next((word for word in argv if not word.startswith("-")), None)
    parser, parsers = _parser()
    if chosen in COMMANDS:
        module = import_module(f"goque.cli.{COMMANDS[chosen].module}")
        getattr(module, f"{chosen}_arguments")(parsers[chosen])
    elif chosen is not None:
        parser.error(f"there is no command {chosen}{_meant(chosen, COMMANDS)}")
    try:
        arguments, left = parser.parse_known_args(_joined(argv))
    except SystemExit as end:
        return int(end.code or 0)
    if left:
        parsers.get(chosen or "", parser).unknown(left)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return WRONG_USE
    work: Callable[[argparse.Namespace], int | None] = getattr(module, chosen or "")
    return work(arguments) or 0


def _joined(argv: Sequence[str]) -> list[str]:
    """With ``--order-by -run_s`` as one word, which argparse would take for two options."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] == "--order-by" and word.startswith("-") and not word.startswith("--"):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.partition("=")[0], list(known), 1)
    return f"; did you mean {close[0]}" if close else ""


def _parser() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog="goque",
        description="A task queue on PostgreSQL. Without --dsn and GOQUE_DSN: the embedded server of this user.",
        epilog="goque COMMAND --help has the options of a command, with examples.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"goque {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    parsers = {
        name: commands.add_parser(
            name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            epilog=f"examples:\n{command.examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for name, command in COMMANDS.items()
    }
    return parser, parsers


def _show_warning(message: Warning | str, *_: object) -> None:
    _say(f"warning: {' '.join(str(message).split())}")


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"goque: {text}\n")
    except BrokenPipeError:
        return

"""``goque bench``: the benchmarks of the source tree, as a command. Not for: measuring (``benchmarks/``)."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import goque
from goque.errors import InvalidInput


def bench_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque bench``."""
    parser.add_argument("questions", nargs="*", metavar="question", help="some of them only; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured (5)")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks of a round where there are many (100,000)")
    parser.add_argument("--peers", metavar="NAMES", help="which other queues beside it (all that are installed); none")
    parser.add_argument("--json", action="store_true", help="figures for machines")


def bench(arguments: argparse.Namespace) -> int:
    """Run the benchmarks on an embedded server of their own; nothing of the user's is touched."""
    source = Path(goque.__file__).parents[1]
    if not (source / "benchmarks" / "measuring.py").is_file():
        raise InvalidInput(
            "the benchmarks come with the source of goque, not with the package: clone it, then make bench"
        )
    command = [sys.executable, "-m", "benchmarks", *arguments.questions]
    command += ["--rounds", str(arguments.rounds), "--tasks", str(arguments.tasks)]
    command += ["--peers", arguments.peers] if arguments.peers else []
    return subprocess.call([*command, "--json"] if arguments.json else command, cwd=source)

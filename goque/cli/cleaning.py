"""``goque clean``. Not for: what is past its retention (``Queue.retention``, the option ``keep``)."""

from __future__ import annotations

import argparse
import json

from goque.cli.connecting import add_place, opened, say


def clean_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque clean``."""
    add_place(parser)
    parser.add_argument("--queue", metavar="NAME", help="only what belongs to this queue")
    parser.add_argument("--dry-run", action="store_true", help="count, and remove nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def clean(arguments: argparse.Namespace) -> None:
    """Remove what is past its retention."""
    with opened(arguments, changes=not arguments.dry_run) as queue:
        gone = queue.clean(arguments.queue, dry_run=arguments.dry_run)
    if arguments.json:
        say(json.dumps(gone))
        return
    what = ", ".join(f"{kind}: {number:,}" for kind, number in gone.items()) or "nothing"
    say(f"{'past its retention' if arguments.dry_run else 'removed'}: {what}")

"""``goque doctor``: shows a diagnosis. Not for: making it (``app.doctor``)."""

from __future__ import annotations

import argparse
import json
import textwrap

from goque.cli.commands import FAILED
from goque.cli.connecting import add_place, say, settings_of
from goque.cli.tables import terminal_width


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque doctor``."""
    add_place(parser)
    parser.add_argument("--json", action="store_true", help="one JSON array of findings")


def doctor(arguments: argparse.Namespace) -> int:
    """Look, start nothing, change nothing; the exit code says whether there is an error."""
    from goque.app.doctor import examine
    from goque.observe.findings import Severity

    found = examine(settings_of(arguments))
    if arguments.json:
        say(json.dumps([one._asdict() for one in found]))
    else:
        width = terminal_width()
        for one in found:
            say(_entry(one.severity, one.what, width))
            if one.remedy:
                say(_entry("", f"> {one.remedy}", width))
    return FAILED if any(one.severity is Severity.ERROR for one in found) else 0


def _entry(word: str, text: str, width: int | None) -> str:
    """The text beside the word, wrapped where it goes to a terminal."""
    one_line = f"{word:<9}{' '.join(text.split())}"
    return one_line if width is None else textwrap.fill(one_line, width, subsequent_indent=" " * 9)

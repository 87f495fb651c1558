"""``goque key``. Not for: what keys are (``payload.keys``)."""

from __future__ import annotations

import argparse
import sys

from goque.cli.connecting import say
from goque.errors import InvalidInput
from goque.settings import read


def key_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque key``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="write the secret to standard output, and what it is to standard error")
    show.add_argument("--results", action="store_true", help="a key that reads results and cannot submit code")


def key(arguments: argparse.Namespace) -> int:
    """Write the secret of this user, or what a reader of results needs."""
    from goque.payload.keys import KeyKind, KeyRing, secrets_in

    settings = read()
    if settings.secret:
        text, place = settings.secret, "GOQUE_SECRET"
    elif settings.embedded and settings.key_file.exists():
        text, place = ",".join(secrets_in(settings.key_file)), str(settings.key_file)
    elif settings.embedded:
        raise InvalidInput("there is no key yet; the first Queue() or goque worker makes one")
    else:
        raise InvalidInput(
            "there is no key: work on this server is unsigned. Set GOQUE_SECRET to one secret for all clients and "
            'workers, for example from: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    ring = KeyRing.from_text(text)
    say(ring.export_results() if arguments.results else text)
    kind = KeyKind.RESULTS if arguments.results else KeyKind.CODE
    power = "read results" if arguments.results else "run code on your workers"
    sys.stderr.write(f"from {place}, key {', '.join(ring.ids(kind))}; whoever has it can {power}\n")
    return 0

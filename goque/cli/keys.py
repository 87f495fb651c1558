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
    actions.add_parser("new", help="write a fresh secret to standard output; it is kept nowhere")
    show = actions.add_parser("show", help="write the secret to standard output, and what it is to standard error")
    show.add_argument("--results", action="store_true", help="a key that reads results and cannot submit code")


def key(arguments: argparse.Namespace) -> int:
    """Write a fresh secret, the secret of this user, or what a reader of results needs."""
    from goque.payload.keys import KeyKind, KeyRing, fresh_secret, secrets_in

    if arguments.action == "new":
        say(fresh_secret())
        return 0
    settings = read()
    if settings.secret is not None:
        text, place = settings.secret, "GOQUE_SECRET"
    elif settings.embedded and settings.key_file.exists():
        text, place = ",".join(secrets_in(settings.key_file)), str(settings.key_file)
    elif settings.embedded:
        raise InvalidInput("there is no key yet; the first Queue() or goque worker makes one")
    else:
        raise InvalidInput(
            "there is no key for a shared server before you make one: export GOQUE_SECRET=$(goque key new), and give "
            "the same to all clients and workers. With GOQUE_DSN unset, goque key show has that of your embedded server"
        )
    ring = KeyRing.from_text(text)
    say(ring.export_results() if arguments.results else text)
    kind = KeyKind.RESULTS if arguments.results else KeyKind.CODE
    power = "read results" if arguments.results else "run code on your workers"
    sys.stderr.write(f"from {place}, key {', '.join(ring.ids(kind))}; whoever has it can {power}\n")
    return 0

"""``goque server``. Not for: servers that goque did not start; those have tools of their own."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime

from goque.cli.connecting import say
from goque.cli.tables import since
from goque.settings import read

NOT_RUNNING = 3
"""The exit code that service managers and pg_ctl give for this."""


def server_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque server``."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    status = actions.add_parser("status", help="whether it runs, where its data and its log lie")
    status.add_argument("--json", action="store_true", help="one JSON object")
    actions.add_parser("stop", help="stop it in an orderly way; the data stay")


def server(arguments: argparse.Namespace) -> int:
    """Look at the embedded server, or stop it."""
    from goque.postgres import embedded

    home = read().home
    if arguments.action == "stop":
        say("stopped" if embedded.stop(home) else f"no server runs in {home}")
        return 0
    found = embedded.status(home)
    if arguments.json:
        say(json.dumps({name: _plain(value) for name, value in asdict(found).items()}))
    elif found.running:
        began = "" if found.started_at is None else f", started {since(found.started_at, datetime.now(UTC))}"
        say(f"running (pid {found.pid}{began}), PostgreSQL {found.version}\ndata  {home}\nlog   {found.log}")
        say(f"dsn   {found.dsn}")
    else:
        say(f"not running; the first Queue() or goque worker starts it\ndata  {home}\nlog   {found.log}")
    return 0 if found.running else NOT_RUNNING


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)

"""From the arguments of a command to a queue. Not for: what the queue is asked."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from goque.settings import Settings, read

if TYPE_CHECKING:
    from goque.app.queue import Queue


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options that say which queue is meant."""
    group = parser.add_argument_group("which queue")
    group.add_argument("--dsn", help="address of the server, as libpq takes it (default: GOQUE_DSN, else embedded)")
    group.add_argument("--schema", help="schema in the database (default: GOQUE_SCHEMA, else goque)")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Settings from options and environment; a password among the options is warned about."""
    if arguments.dsn:
        from goque.postgres.addresses import has_password

        if has_password(arguments.dsn):
            warnings.warn(
                "every user of this machine can read a password in the command line; set GOQUE_DSN, or keep it in a "
                "password file (PGPASSFILE) or a service file (--dsn service=NAME)",
                stacklevel=2,
            )
    return read(arguments.dsn, schema=arguments.schema)


@contextmanager
def opened(arguments: argparse.Namespace, *, changes: bool = False) -> Iterator[Queue]:
    """The queue that is meant, without local workers; without ``changes`` nothing on a shared server is changed."""
    from goque.app.queue import Queue

    settings = settings_of(arguments)
    # The embedded server's schema is kept up to date by whoever opens it, which a queue that only looks cannot.
    read_only = not changes and not settings.embedded
    # A command keeps nothing in a session, so that it works behind PgBouncer without being told of it.
    listen = settings.embedded
    queue = Queue(settings.dsn, schema=settings.schema, workers=0, listen=listen, read_only=read_only)
    try:
        yield queue
    finally:
        queue.close()


def say(text: str = "") -> None:
    """A line of output."""
    sys.stdout.write(text + "\n")

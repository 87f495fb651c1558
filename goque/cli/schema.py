"""``goque migrate``. Not for: the migrations (``postgres.migrations``)."""

from __future__ import annotations

import argparse
import sys

from goque.cli.commands import FAILED
from goque.cli.connecting import add_place, say, settings_of


def migrate_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque migrate``."""
    add_place(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--sql", action="store_true", help="write all migrations as SQL, connect to nothing")
    group.add_argument("--check", action="store_true", help="say what is missing, change nothing")


def migrate(arguments: argparse.Namespace) -> int:
    """Apply what is missing, say it, or write it."""
    from goque.postgres import embedded, migrations
    from goque.postgres.database import Database

    settings = settings_of(arguments)
    if arguments.sql:
        sys.stdout.write(migrations.script(schema=settings.schema))
        return 0
    database = Database(settings.dsn or embedded.ensure(settings.home), schema=settings.schema)
    try:
        if arguments.check:
            missing = migrations.pending(database)
            for step in missing:
                say(f"missing: {step.number:04d}_{step.name}")
            if missing:
                return FAILED
        else:
            for step in migrations.migrate(database):
                say(f"applied: {step.number:04d}_{step.name}")
        say(f"schema {settings.schema} is up to date")
        return 0
    finally:
        database.close()

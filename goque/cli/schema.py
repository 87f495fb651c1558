"""``goque migrate``. Not for: the migrations (``postgres.migrations``)."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from goque.cli.commands import FAILED
from goque.cli.connecting import add_place, say, settings_of

if TYPE_CHECKING:
    from goque.postgres.database import Database


def migrate_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goque migrate``."""
    add_place(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--sql", action="store_true", help="write all migrations as SQL, connect to nothing")
    group.add_argument("--check", action="store_true", help="say what is missing, change nothing")
    parser.add_argument("--roles", action="store_true", help="then make the roles read, submit, work and operate")
    parser.add_argument(
        "--prefix", default="goque", help="how the names of roles begin (default: goque, as goque_read)"
    )


def migrate(arguments: argparse.Namespace) -> int:
    """Apply what is missing, say it, or write it."""
    from goque.postgres import embedded, migrations
    from goque.postgres.database import Database
    from goque.queries import roles

    settings = settings_of(arguments)
    grants = roles.script(settings.schema, arguments.prefix) if arguments.roles else None
    if arguments.sql:
        sys.stdout.write(migrations.script(schema=settings.schema) if grants is None else f"BEGIN;\n{grants}COMMIT;\n")
        return 0
    dsn = settings.dsn or embedded.ensure(settings.home)
    database = Database(dsn, schema=settings.schema, pooler=not settings.embedded)
    try:
        if arguments.check:
            return _check(database, arguments.prefix if arguments.roles else None)
        for step in migrations.migrate(database):
            say(f"applied: {step.number:04d}_{step.name}")
        say(f"schema {settings.schema} is up to date")
        if grants is not None:
            migrations.grant(database, grants)
            say(f"{', '.join(roles.names(arguments.prefix))} have their rights")
        return 0
    finally:
        database.close()


def _check(database: Database, prefix: str | None) -> int:
    """Say what is missing; with a prefix also which roles are, or lack a right that this version needs."""
    from goque.postgres import migrations
    from goque.queries import roles

    missing = [f"{step.number:04d}_{step.name}" for step in migrations.pending(database)]
    if prefix is not None and not missing:
        missing += [f"role {name}" for name, is_there, _ in database.all(roles.standing(prefix)) if not is_there]
        lacking = database.all(roles.lacking(database.schema, prefix))
        missing += sorted({f"a right of {name} on {table}" for name, table, _, _ in lacking})
    for what in missing:
        say(f"missing: {what}")
    if missing:
        return FAILED
    say(f"schema {database.schema} is up to date")
    return 0

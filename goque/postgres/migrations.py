"""Bringing a database's schema up to this version of goque. Not for: going back; a migration only leads forward."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from goque.errors import DatabaseError, MigrationNeeded, NotPermitted
from goque.postgres import sources
from goque.postgres.connections import Connection
from goque.postgres.database import Database
from goque.postgres.sources import Migration
from goque.sql.statement import quoted_schema

__all__ = ["Migration", "check", "grant", "migrate", "pending", "script"]

_logger = logging.getLogger("goque.migrate")

_PREPARE = """\
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""


def migrate(database: Database, *, folder: Path | None = None) -> list[Migration]:
    """Apply what is missing, each migration in a transaction of its own; those that were applied by this call.

    Several processes may call it at once: each waits for the other's migration and goes on from there.
    """
    wanted = sources.load(folder)
    applied: list[Migration] = []
    while (step := _apply_next(database, wanted)) is not None:
        _logger.info("applied migration %04d_%s to schema %s", step.number, step.name, database.schema)
        applied.append(step)
    return applied


def grant(database: Database, script: str) -> None:
    """Run the SQL that makes roles and gives them their rights (``queries.roles``), all of it or nothing."""
    try:
        with database.transaction("making roles") as transaction:
            _script(transaction.connection, script)
    except NotPermitted as error:
        said = str(error).partition(" Connect as ")[0]
        raise NotPermitted(
            f"{said} Making roles takes CREATEROLE and the schema's owner: goque migrate --roles --sql writes the SQL "
            "for somebody who has both.",
            sqlstate=error.sqlstate,
        ) from None


def pending(database: Database, *, folder: Path | None = None) -> list[Migration]:
    """What ``migrate`` would apply."""
    wanted = sources.load(folder)
    with database.transaction("reading the applied migrations") as transaction:
        done = _verified(database, transaction.connection, wanted)
    return [migration for migration in wanted if migration.number > done]


def check(database: Database, *, folder: Path | None = None) -> None:
    """Raise ``MigrationNeeded`` unless the schema is exactly the one this version was written for."""
    wanted = sources.load(folder)
    with database.transaction("reading the applied migrations") as transaction:
        done = _verified(database, transaction.connection, wanted)
    if done == len(wanted):
        return
    state = "is missing" if not done else f"is at migration {done}, this version needs {len(wanted)}"
    raise MigrationNeeded(
        f"The schema {database.schema!r} at {database.profile.place} {state}. Run: "
        f"goque migrate{sources.schema_option(database.schema)}   (or Queue(dsn, migrate=True))",
        found=done or None,
        wanted=len(wanted),
    )


def script(*, schema: str = "goque", folder: Path | None = None) -> str:
    """All migrations as SQL for psql, for those who apply it by hand; it may be run on an empty database once."""
    name = quoted_schema(schema)
    parts = [f"BEGIN;\n{_PREPARE.replace('{schema}', name)}COMMIT;\n"]
    for migration in sources.load(folder):
        parts.append(
            f"-- {migration.number:04d} {migration.name}\nBEGIN;\n{migration.sql(schema).strip()}\n"
            f"INSERT INTO {name}.migration (number, name, checksum) "
            f"VALUES ({migration.number}, '{migration.name}', '{migration.checksum}');\nCOMMIT;\n"
        )
    return "\n".join(parts)


def _apply_next(database: Database, wanted: Sequence[Migration]) -> Migration | None:
    schema = database.schema
    with database.transaction("migrating") as transaction:
        connection = transaction.connection
        # A lock on the name, since the table may not be there yet. It ends with the transaction, also behind a pooler.
        connection.execute(
            "SELECT set_config('lock_timeout', '10min', true), set_config('statement_timeout', '0', true)"
        )
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"goque migrate {schema}"])
        done = _verified(database, transaction.connection, wanted)
        if done == len(wanted):
            return None
        step = wanted[done]
        if not done:
            _script(connection, _PREPARE.replace("{schema}", quoted_schema(schema)))
        _script(connection, step.sql(schema))
        connection.execute(
            sql.SQL("INSERT INTO {} (number, name, checksum) VALUES (%s, %s, %s)").format(_table(schema)),
            [step.number, step.name, step.checksum],
        )
        return step


def _verified(database: Database, connection: Connection, wanted: Sequence[Migration]) -> int:
    """How many of the wanted migrations are applied, unchanged; an error if the database knows more than that."""
    applied = _applied(connection, database.schema)
    if len(applied) > len(wanted):
        raise MigrationNeeded(
            f"The schema {database.schema!r} at {database.profile.place} is at migration {len(applied)}, newer than "
            f"this version of goque, which knows {len(wanted)}. Upgrade goque here (pip install -U goque); "
            "goque migrate leads only forward.",
            found=len(applied),
            wanted=len(wanted),
        )
    for migration, (number, checksum) in zip(wanted, applied, strict=False):
        if (migration.number, migration.checksum) != (number, checksum):
            raise DatabaseError(
                f"Migration {migration.number:04d}_{migration.name} differs from what was applied to the schema "
                f"{database.schema!r} at {database.profile.place}. An applied migration must not change: restore the "
                "file (reinstall goque), or write a new migration."
            )
    return len(applied)


def _applied(connection: Connection, schema: str) -> list[tuple[int, str]]:
    # Asked of the catalogue, because a failed SELECT would end the transaction that goes on to create the table.
    known = connection.execute(
        "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'migration'", [schema]
    ).fetchone()
    if known is None:
        return []
    query = sql.SQL("SELECT number, checksum FROM {} ORDER BY number").format(_table(schema))
    return [(number, checksum) for number, checksum in connection.execute(query)]


def _script(connection: Connection, text: str) -> None:
    # Without parameters the text goes out as it is and may hold several statements.
    psycopg.Cursor(connection).execute(text.encode())


def _table(schema: str) -> sql.Identifier:
    return sql.Identifier(schema, "migration")

"""Servers and databases that are made to be thrown away. Not for: anything that is to be kept (``embedded``)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from goque.postgres import embedded
from goque.postgres.failures import translated
from goque.postgres.postmaster import server_identity


@contextmanager
def directory() -> Iterator[Path]:
    """A temporary directory that a server may use, also where it runs as a user of its own."""
    path = Path(tempfile.mkdtemp(prefix="goque-test-", dir="/tmp"))  # short, for the sake of sockets
    identity = server_identity()
    if identity:
        os.chown(path, identity["user"], identity["group"])
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def server() -> Iterator[str]:
    """An embedded server in a temporary directory; its DSN, as superuser."""
    with directory() as home:
        try:
            yield embedded.ensure(home)
        finally:
            embedded.stop(home)


@contextmanager
def database(server_dsn: str, name: str, *, template: str = "template1") -> Iterator[str]:
    """A database of this name, a copy of ``template``; its DSN. All sessions on it are ended at the end."""
    new = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    gone = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    _execute(server_dsn, new)
    try:
        yield make_conninfo(server_dsn, dbname=name)
    finally:
        _execute(server_dsn, gone)


def _execute(dsn: str, statement: sql.Composed) -> None:
    with translated(dsn, "goque", "making a database for tests"), psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)

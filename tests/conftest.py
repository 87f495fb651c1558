"""What all tests share: one server per session, one database per test. Missing programs fail in CI."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from goque import Queue
from goque.postgres import embedded, migrations
from goque.postgres.database import Database
from tests.servers import missing_programs, temporary_directory


def _defaults(function: Any, **values: object) -> None:
    function.__kwdefaults__.update(values)


_numbers = count(1)

POOLER = os.environ.get("GOQUE_TEST_POOLER")
"""The address of a pooler in front of GOQUE_TEST_DSN, when tests shall go through it."""

if POOLER:
    # What a user behind a pooler writes whenever one of these is made.
    _defaults(Queue.__init__, listen=False)
    _defaults(Database.__init__, pooler=True)

# A shell that starts us in the background has us ignore interrupts, and our children with us; tests send them some.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With a server given, only what uses it is worth running again. Tests of poolers need their programs."""
    if os.environ.get("GOQUE_TEST_DSN"):
        other = [item for item in items if not _worth_another_run(item)]
        config.hook.pytest_deselected(items=other)
        items[:] = [item for item in items if item not in other]
    missing = missing_programs()
    if missing and not os.environ.get("CI"):
        for item in items:
            if "pooled_dsn" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=f"{missing} not installed; CI has it"))


def _worth_another_run(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    # Scripts of a test's own make their queues as if there were no pooler.
    direct = "run_script" in fixtures or item.get_closest_marker("direct")
    return "server_dsn" in fixtures and not (POOLER and direct)


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """A server whose superuser we are: the one of GOQUE_TEST_DSN, or an embedded one in a temporary directory."""
    if given := os.environ.get("GOQUE_TEST_DSN"):
        yield given
        return
    with temporary_directory() as home:
        yield embedded.ensure(home)
        embedded.stop(home)


@pytest.fixture(scope="session")
def template_database(server_dsn: str) -> Iterator[str]:
    """The name of a migrated database to clone."""
    with _new_database(server_dsn, f"goque_template_{os.getpid()}", address=server_dsn) as dsn:
        database = Database(dsn)
        migrations.migrate(database)
        database.close()
        yield f"goque_template_{os.getpid()}"


@pytest.fixture
def dsn(server_dsn: str, template_database: str) -> Iterator[str]:
    """A fresh migrated database of this test's own."""
    name = f"goque_test_{os.getpid()}_{next(_numbers)}"
    with _new_database(server_dsn, name, template=template_database) as made:
        yield made


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    """A ``Database`` on it."""
    made = Database(dsn)
    yield made
    made.close()


@pytest.fixture
def server_home() -> Iterator[Path]:
    """A home for an embedded server of this test's own, stopped and removed afterwards."""
    with temporary_directory() as home:
        yield home
        embedded.stop(home)


@contextmanager
def _new_database(
    server_dsn: str, name: str, template: str = "template1", address: str | None = POOLER
) -> Iterator[str]:
    """A database of this name for the block; its DSN, at the pooler if there is one."""
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    try:
        yield make_conninfo(address or server_dsn, dbname=name)
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

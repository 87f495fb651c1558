"""What all tests share: one server per session, one database per test. Missing programs fail in CI."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from goque import Queue
from goque.postgres import embedded, scratch
from goque.postgres.database import Database
from goque.testing import databases
from tests.servers import missing_programs

pytest_plugins = ["goque.testing.fixtures"]


def _defaults(function: Any, **values: object) -> None:
    function.__kwdefaults__.update(values)


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
    return "goque_server" in fixtures and not (POOLER and direct) and not item.get_closest_marker("once")


@pytest.fixture(scope="session")
def server_dsn(goque_server: str) -> str:
    """A server whose superuser we are: the one of GOQUE_TEST_DSN, or an embedded one in a temporary directory."""
    return goque_server


@pytest.fixture(scope="session")
def template_database(goque_template: str) -> str:
    """The name of a migrated database to clone."""
    return goque_template


@pytest.fixture
def dsn(goque_dsn: str) -> str:
    """A fresh migrated database of this test's own."""
    return _addressed(goque_dsn)


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    """A ``Database`` on it."""
    made = Database(dsn)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(server_dsn: str, template_database: str) -> Iterator[Database]:
    """One migrated database for all tests of a module that leave it as it was: a copy takes longer than they."""
    with databases.database(server_dsn, template_database) as dsn:
        made = Database(_addressed(dsn))
        yield made
        made.close()


@pytest.fixture
def server_home() -> Iterator[Path]:
    """A home for an embedded server of this test's own, stopped and removed afterwards."""
    with scratch.directory() as home:
        yield home
        embedded.stop(home)


@contextmanager
def _new_database(server_dsn: str, name: str, *, template: str = "template1") -> Iterator[str]:
    """A database of this name for the block; its DSN, at the pooler if there is one."""
    with scratch.database(server_dsn, name, template=template) as dsn:
        yield _addressed(dsn)


def _addressed(dsn: str) -> str:
    return make_conninfo(POOLER, dbname=conninfo_to_dict(dsn)["dbname"]) if POOLER else dsn

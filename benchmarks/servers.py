"""A fresh database on the embedded server, for one run, and what it has done. Not for: anything else."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from goque.postgres import embedded


@contextmanager
def fresh_server() -> Iterator[str]:
    """The address of an embedded server of this run's own, with the settings that goque gives it (durable)."""
    home = Path(tempfile.mkdtemp(prefix="goque-bench-"))
    os.chmod(home, 0o755)  # as root the server runs as a user of its own, who must get in
    os.environ["GOQUE_HOME"] = str(home)
    try:
        yield embedded.ensure(home)
    finally:
        embedded.stop(home)
        shutil.rmtree(home, ignore_errors=True)


PINNED = " ".join(
    f"-c {name}=off"
    for name in ("enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit")
)


def pinned(dsn: str) -> psycopg.Connection:
    """A plain connection with the planner's choices pinned as goque's worker has them."""
    options = f"{PINNED} -c plan_cache_mode=force_generic_plan"
    return psycopg.connect(dsn, autocommit=True, options=options)


@dataclass
class Used:
    """What a server did within a block; nothing before the block has ended."""

    commits: int = 0
    wal_bytes: int = 0
    seconds: float = 0.0
    """For how long it was looked at: a little longer than the block."""


class Meter:
    """Reads the counters of a server over a connection of its own."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)

    @contextmanager
    def read(self) -> Iterator[Used]:
        """Count what happens within the block, the meter's own statements left out."""
        used = Used()
        began = time.monotonic()
        commits, wal = self._look()
        yield used
        time.sleep(1.1)  # sessions report what they did once a second
        commits_after, wal_after = self._look()
        used.commits = commits_after - commits - 2
        used.wal_bytes = wal_after - wal
        used.seconds = time.monotonic() - began

    def _look(self) -> tuple[int, int]:
        row = self._connection.execute(
            "select sum(xact_commit)::bigint, (pg_current_wal_lsn() - '0/0')::bigint from pg_stat_database"
        ).fetchone()
        assert row is not None
        return row

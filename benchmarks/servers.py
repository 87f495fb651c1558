"""A fresh database on the embedded server, for one run. Not for: anything else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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

"""Run a command with ``GOQUE_TEST_DSN`` set to a new server of the oldest PostgreSQL that is supported.

``python -m tests.oldest_server pytest tests``; with ``--pooler`` first, tests reach it through PgBouncer in transaction
mode. Where the programs are not installed nothing is run, a failure if CI is set.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack

from tests.servers import missing_programs, running_pooler, running_server

OLDEST = 15
SESSIONS = 8
"""Sessions that all clients of a database share behind the pooler."""


def main(command: list[str]) -> int:
    """Run the command; its exit code."""
    pooler = command[0] == "--pooler"
    if missing := missing_programs(pooler=pooler):
        sys.stderr.write(f"Not run on PostgreSQL {OLDEST}: {missing} not installed\n")
        return 1 if os.environ.get("CI") else 0
    with ExitStack() as stack:
        dsn = stack.enter_context(running_server(OLDEST))
        environment = os.environ | {"GOQUE_TEST_DSN": dsn}
        if pooler:
            environment["GOQUE_TEST_POOLER"] = stack.enter_context(running_pooler(dsn, pool_size=SESSIONS))
        return subprocess.run(command[pooler:], env=environment, check=False).returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server does not outlive us
    sys.exit(main(sys.argv[1:]))

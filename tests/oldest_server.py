"""Run a command with ``GOQUE_TEST_DSN`` set to a new server of the oldest PostgreSQL that is supported.

``python -m tests.oldest_server pytest tests``. Where it is not installed nothing is run, a failure if CI is set.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.servers import programs, running_server

OLDEST = 15


def main(command: list[str]) -> int:
    """Run the command; its exit code."""
    try:
        programs(OLDEST)
    except RuntimeError as error:
        sys.stderr.write(f"Not run on PostgreSQL {OLDEST}: {error}\n")
        return 1 if os.environ.get("CI") else 0
    with running_server(OLDEST) as dsn:
        return subprocess.run(command, env=os.environ | {"GOQUE_TEST_DSN": dsn}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

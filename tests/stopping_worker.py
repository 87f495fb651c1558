"""A hurried worker that stops (SIGSTOP) in the middle of a transaction: when it has sent one certain statement.

``STOP_AFTER`` is the name of the statement. It stops after each of them while there is a file ``STOP_WHEN``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import tests.hurried_worker  # noqa: F401 - the short lease comes first
from goque.cli import main
from goque.postgres.verbs import Verbs
from goque.sql import Statement

_execute = Verbs._execute


def stopping(self: Verbs, connection: Any, statement: Statement[Any]) -> Any:
    cursor = _execute(self, connection, statement)
    if statement.name == os.environ["STOP_AFTER"] and os.path.exists(os.environ["STOP_WHEN"]):
        assert connection.pgconn.pipeline_status  # else it is over already
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread at once, and with it all of them
    return cursor


if __name__ == "__main__":
    Verbs._execute = stopping  # type: ignore[method-assign]
    sys.exit(main(["worker", *sys.argv[1:]]))

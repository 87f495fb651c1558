"""A worker that says which of its threads is which, and which backend serves it. Not for: measuring.

python -m benchmarks.named FILE

``goque worker`` with two slots. It writes FILE once it has run something: as JSON, by the name of a thread, its number
and that of the server's process it talks to.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from goque.cli import main
from goque.postgres.connections import Connection
from goque.postgres.verbs import Verbs
from goque.sql.statement import Statement

THREADS = {"goque-claimer", "goque-completer", "goque-dispatcher"}


def _tell(file: Path) -> None:
    """Note who executes what, until all that matter have been seen."""
    plain = Verbs._execute
    backends: dict[str, int] = {}

    def execute(self: Verbs, connection: Connection, statement: Statement[Any]) -> Any:
        backends[threading.current_thread().name] = connection.info.backend_pid
        if "goque-completer" in backends and "goque-claimer" in backends:
            Verbs._execute = plain  # type: ignore[method-assign]
            threads = {one.name: one.native_id for one in threading.enumerate() if one.name in THREADS}
            file.with_suffix(".new").write_text(json.dumps({"threads": threads, "backends": backends}))
            file.with_suffix(".new").rename(file)
        return plain(self, connection, statement)

    Verbs._execute = execute  # type: ignore[method-assign]


if __name__ == "__main__":
    _tell(Path(sys.argv[1]))
    sys.exit(main(["worker", "--concurrency", "2"]))

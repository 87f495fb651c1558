"""The command ``goque``. Not for: what the commands do (``app``); each group of them has its file here."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, of this process's arguments unless others are given; its exit code.

    0: done. 1: it could not be done, the reason is on standard error. 2: the arguments make no sense. 130: interrupted.
    Some commands have more; their help says so.
    """
    from goque.cli.commands import run

    return run(sys.argv[1:] if argv is None else argv)

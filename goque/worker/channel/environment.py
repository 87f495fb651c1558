"""The environment of children: ours, without secrets. Not for: reading settings (``goque.settings``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
SECRET_PREFIXES = ("GOQUE_", "PG")
"""Variables that may hold an address, a password or a key; no child gets them."""


def environment_of_children(threads: int | None) -> Mapping[str, str]:
    """Our variables without secrets; ``threads`` is what numeric libraries may start, None leaves that to them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SECRET_PREFIXES)}
    if threads is not None:
        kept.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    # They must find goque wherever this process found it; the nursery puts the variable back for its children.
    kept["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return kept

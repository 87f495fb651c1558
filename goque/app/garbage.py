"""The garbage collector in the process of a worker. Not for: processes that run anybody else's code."""

from __future__ import annotations

import gc

BETWEEN = 50_000
"""Objects that are made, and not freed, before the collector looks for circles among them."""


def spare_collector() -> None:
    """Leave to reference counts what they free anyway; call it once everything is imported.

    What a worker holds of thousands of tasks is in no circle, but Python takes so many living objects for a reason to
    look at all there are, 30 ms at a time in which no thread of the process does anything: an eighth of a drain.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(BETWEEN, 20, 50)

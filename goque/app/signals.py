"""Signals that ask a process to stop, told to ordinary code. Not for: what stopping means (``worker``)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

STOPPING = (signal.SIGTERM, signal.SIGINT)


def on_stop(call: Callable[[int], object]) -> None:
    """Call ``call(number)``, in a thread of its own, for each SIGTERM and SIGINT of this process from now on.

    A handler runs between any two instructions of the main thread. If that thread is inside an ``Event`` at that
    moment, setting the same event from the handler never ends; so the handler only writes to a pipe.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)

    def follow() -> None:
        while number := os.read(heard, 1):
            call(number[0])

    threading.Thread(target=follow, name="goque-signals", daemon=True).start()
    for number in STOPPING:
        signal.signal(number, lambda number, _frame: os.write(told, bytes([number])))

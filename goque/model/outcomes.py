"""What came of one run of a task, as the pool reports it. Not for: deciding what the task becomes."""

from __future__ import annotations

from typing import Literal, NamedTuple

OutcomeKind = Literal[
    "done", "error", "canceled", "snoozed", "gave_up", "timeout", "crash", "unloadable", "handed_back"
]
"""``canceled``: the code raised Cancel, or its run was stopped for a cancel. ``unloadable``: this machine lacks a
module that the function needs. ``handed_back``: stopped on request while it ran. These two charge nothing.
"""


class Outcome(NamedTuple):
    """One run. A named tuple because one is built for every task, at a fifth of the cost of a frozen dataclass."""

    kind: OutcomeKind
    started: float = 0.0
    """``time.monotonic()`` of this machine when the run began."""
    run_s: float = 0.0
    cpu_s: float = 0.0
    max_rss: int = 0
    """Peak resident memory in bytes while it ran, of the whole child."""
    result: bytes | None = None
    log: str = ""
    """Standard output, standard error and logging, head and tail."""
    retry_in: float | None = None
    """Seconds until it should run again, None when it should not. Whether attempts remain is the caller's matter."""
    error_type: str = ""
    message: str = ""
    traceback: str = ""
    user_frame: str = ""
    exception: bytes | None = None
    """The pickled exception, where it can be pickled."""
    args_repr: str = ""
    module: str = ""
    """The missing module of an ``unloadable`` function."""
    exit_signal: int | None = None
    exit_code: int | None = None

"""Tasks that harm the process they run in, and how each must end. Not for: the workers that run them.

The functions are made by one, so that they travel to workers by value.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from goque import Fixed, Queue, Status
from goque.model.states import RunOutcome

MEMORY = 400
"""MiB that a child may use: twice what a result of 200 MiB needs, which is refused for its own reason."""
FORKS = 5
"""How often a fork bomb doubles: 31 processes beside the task's own."""


@dataclass(frozen=True)
class Poison:
    """One of them. ``words`` is the pattern of what its error must say."""

    code: Callable[..., Any]
    outcome: RunOutcome
    words: str
    options: dict[str, Any] = field(default_factory=dict)
    args: tuple[Any, ...] = ()


def poisons(pids: str, *, timeout: float = 1.0) -> dict[str, Poison]:
    """By name. ``pids`` is a file that a fork bomb adds the number of each process to."""

    def segfaults() -> None:
        import ctypes

        ctypes.string_at(0)

    def exits() -> None:
        import os

        os._exit(7)

    def exhausts_memory() -> None:
        import time

        held = []
        while True:
            held.append(b"x" * (8 << 20))
            time.sleep(0.005)

    def ignores_signals() -> None:
        import contextlib
        import signal
        import time

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(60)

    def forks(file: str, times: int) -> None:
        import os
        import time

        for _ in range(times):
            os.fork()
        with open(file, "ab", buffering=0) as seen:
            seen.write(b"%d\n" % os.getpid())
        time.sleep(600)

    def floods() -> None:
        line = "x" * 1023
        while True:
            print(line)

    def returns_too_much() -> bytes:
        return b"x" * (200 << 20)

    def sleeps_in_c() -> None:
        import ctypes

        while True:  # with the interpreter's lock held all the time
            ctypes.PyDLL(None).usleep(100_000_000)

    stopped = {"timeout": timeout}
    late = RunOutcome.TIMEOUT
    return {
        "segfaults": Poison(segfaults, RunOutcome.CRASH, "SIGSEGV"),
        "exits": Poison(exits, RunOutcome.CRASH, "7"),
        "exhausts memory": Poison(exhausts_memory, RunOutcome.CRASH, f"memory.*{MEMORY} MiB"),
        "ignores signals": Poison(ignores_signals, late, "timeout", options=stopped),
        "forks": Poison(forks, late, "timeout", options=stopped, args=(pids, FORKS)),
        "floods": Poison(floods, late, "timeout", options=stopped),
        "returns too much": Poison(returns_too_much, RunOutcome.ERROR, "limit|large"),
        "sleeps in C": Poison(sleeps_in_c, late, "timeout", options=stopped),
    }


def harm_nobody_else(queue: Queue, pids: Path, *, copies: int = 1, neighbours: int = 300) -> None:
    """So many of each poison are given, and so many harmless tasks after them; all end as they should."""

    def double(x: int) -> int:
        return 2 * x

    pids.touch()
    kinds = poisons(str(pids))
    given = [
        (name, queue.options(max_attempts=2, retry=Fixed(0.1), **kind.options).submit(kind.code, *kind.args))
        for name, kind in kinds.items()
        for _ in range(copies)
    ]
    others = queue.map(double, range(neighbours))
    assert others.results(timeout=100 + 15 * copies) == [2 * x for x in range(neighbours)]
    assert {task.attempts for task in others.tasks()} == {1}
    for name, task in given:
        assert task.wait(600), name
        assert task.status is Status.ATTEMPTS_LEFT, name
        last = queue.history(task=task.id).iloc[0]
        assert last["outcome"] == kinds[name].outcome, (name, last["outcome"], last["error"])
        assert re.search(kinds[name].words, last["error"]), (name, last["error"])
    forked = {int(pid) for pid in pids.read_text().split()}
    assert len(forked) >= 2**FORKS
    give_up_at = time.monotonic() + 10.0
    while left := [pid for pid in forked if psutil.pid_exists(pid)]:  # killed, and not yet buried
        assert time.monotonic() < give_up_at, f"left behind: {left}"
        time.sleep(0.05)

"""How much processor time and memory a job or a process takes. Not for: limits."""

from __future__ import annotations

import os
import resource
import sys
import time
from contextlib import suppress

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


QUICK = 0.001
"""Seconds. In less than that nobody touches enough new memory to be worth a system call per job."""


class Usage:
    """Processor time and peak memory from one job to the next.

    The kernel keeps one peak per process. It is put back after a job that raised it, so that the next job's is its own.
    """

    def __init__(self, *, whole_process: bool) -> None:
        """Of the whole process, or with False of the calling thread, whose memory is still that of the process."""
        self._clock = time.process_time if whole_process else time.thread_time
        self._cpu = self._clock()
        self._quick = 0
        self._reset: int | None = None
        if whole_process and sys.platform == "linux":
            with suppress(OSError):
                self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        self._floor = self._peak = 0
        self._measure()

    def take(self, run_s: float) -> tuple[float, int]:
        """After a job of that many seconds: its seconds of processor time, and the peak in bytes.

        A quick job is taken to have used the processor all along. The clock is read every few of them, so that the
        next long job is charged for less than ``QUICK`` of theirs.
        """
        if run_s < QUICK:
            self._quick += 1
            if self._quick > 16:
                self._quick = 0
                self._cpu = self._clock()
            return run_s, self._peak
        before = self._cpu
        self._cpu = cpu = self._clock()
        self._measure()
        return cpu - before, self._peak

    def _measure(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._peak = peak * _RSS_UNIT
        if peak > self._floor and self._reset is not None:
            try:
                os.write(self._reset, b"5")
                self._floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + 1024
            except OSError:
                self._reset = None


def resident(pid: int | str = "self") -> int:
    """Bytes of memory a process holds now; 0 where that cannot be read."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT if pid == "self" else 0

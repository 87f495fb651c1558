"""What a child is running, in memory that main can read at any time, also after the child died. Not for: results.

One record of four 8-byte numbers per line: the serial number of the running job (0: none), the monotonic time it
started, the serial of a job that should stop, and a flag that everything should stop.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile

RECORD = 32
_RUNNING = struct.Struct("=Qd")
_ONE = struct.pack("=Q", 1)


def create(lines: int) -> int:
    """A file descriptor of zeroed records; the file has no name."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.truncate(RECORD * lines)
        return os.dup(file.fileno())


def running(descriptor: int, line: int) -> tuple[int, float] | None:
    """Serial and monotonic start of the job that runs on this line, None when none does. Main's side.

    Main reads instead of mapping: a mapping would cost a second descriptor for every child.
    """
    serial, started = _RUNNING.unpack(os.pread(descriptor, _RUNNING.size, RECORD * line))
    return (serial, started) if serial else None


def ask_to_stop(descriptor: int, line: int, serial: int | None = None) -> None:
    """Tell one job, or with None whatever runs on this line, that it should stop. Main's side."""
    if serial is None:
        os.pwrite(descriptor, _ONE, RECORD * line + 24)
    else:
        os.pwrite(descriptor, struct.pack("=Q", serial), RECORD * line + 16)


class Stamp:
    """The child's side of one record."""

    __slots__ = ("_serials", "_times")

    def __init__(self, memory: mmap.mmap, line: int) -> None:
        record = memoryview(memory)[RECORD * line : RECORD * (line + 1)]
        self._serials = record.cast("Q")
        self._times = record.cast("d")

    def start(self, serial: int, now: float) -> None:
        """This job runs from now on. The time goes first, so that a serial never stands beside an older time."""
        self._times[1] = now
        self._serials[0] = serial

    def end(self) -> None:
        """Nothing runs."""
        self._serials[0] = 0

    @property
    def stopping(self) -> bool:
        """Whether the job that runs was asked to stop."""
        return bool(self._serials[3]) or (self._serials[2] == self._serials[0] != 0)


def open_stamps(descriptor: int, lines: int) -> list[Stamp]:
    """The child's side of all records."""
    memory = mmap.mmap(descriptor, RECORD * lines)
    return [Stamp(memory, line) for line in range(lines)]

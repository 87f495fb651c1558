"""The log of a run: all it prints or logs, in order of time, head and tail. Not for: leading it there (``streams``).

A log is an unlinked file, so that it can be read while the task runs and after its process died, and so that C code
and subprocesses write into it too. Whoever finds it too long cuts out its middle.
"""

from __future__ import annotations

import os
import tempfile
from fcntl import F_GETFL, F_SETFL, fcntl

HEAD = TAIL = 32 * 1024
CUT = b"\n[... the middle of this output was cut ...]\n"
LONGEST = HEAD + len(CUT) + TAIL
_SLACK = 64 * 1024
FLOOD = 1 << 20
"""Bytes at which main cuts a log itself: only output that does not pass through Python gets there."""


def create() -> int:
    """A file descriptor of an empty log."""
    with tempfile.TemporaryFile(buffering=0) as file:
        descriptor = os.dup(file.fileno())
    fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | os.O_APPEND)
    return descriptor


def read(log: int) -> bytes:
    """Head and tail of what was written."""
    size = os.fstat(log).st_size
    if size <= LONGEST:
        return os.pread(log, LONGEST, 0)
    return os.pread(log, HEAD, 0) + CUT + os.pread(log, TAIL, size - TAIL)


def text(raw: bytes) -> str:
    """The log as text that PostgreSQL can hold."""
    return raw.decode("utf-8", "replace").replace("\x00", "\\x00") if raw else ""


def cut(log: int, longest: int) -> None:
    """Keep head and tail if it is longer than that. What is written at the same moment may be lost."""
    size = os.fstat(log).st_size
    if size > longest:
        tail = os.pread(log, TAIL, size - TAIL)
        os.ftruncate(log, HEAD)
        os.write(log, CUT + tail)


class Log:
    """The child's end of a log."""

    __slots__ = ("_since_cut", "descriptor")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._since_cut = 0

    def write(self, data: bytes) -> None:
        """Append, and keep the file short."""
        if len(data) > LONGEST:
            data = data[:HEAD] + CUT + data[-TAIL:]
        os.write(self.descriptor, data)
        self._since_cut += len(data)
        if self._since_cut > _SLACK:
            self._since_cut = 0
            cut(self.descriptor, LONGEST + _SLACK)

    def take(self) -> bytes:
        """What was written since the last time. Costs one system call when that is nothing."""
        if not os.lseek(self.descriptor, 0, 2):
            return b""
        raw = read(self.descriptor)
        os.ftruncate(self.descriptor, 0)
        self._since_cut = 0
        return raw

"""The log of a run: everything it prints or logs, in order of time, head and tail. Not for: goque's own log.

A log is an unlinked file, so that it can be read while the task runs and after its process died, and so that C code
and subprocesses write into it too. Whoever finds it too long cuts out its middle.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable
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


class _Stream(io.RawIOBase):
    """Standard output or error: bytes go to the log of the attempt that writes them."""

    def __init__(self, find: Callable[[], Log], number: int) -> None:
        self.name = "<stdout>" if number == 1 else "<stderr>"
        self._find = find
        self._number = number

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        raw = bytes(data)
        self._find().write(raw)
        return len(raw)

    def close(self) -> None:
        """Stay open: a task that closes its output must not close that of the next one."""


class Streams:
    """Python's standard streams and root logger, led into logs for as long as this process lives."""

    def __init__(self, find: Callable[[], Log]) -> None:
        self._find = find
        # A stream of its own: user code may detach or replace the standard ones.
        handler = logging.StreamHandler(_wrap(find, 2))
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        self._out: io.TextIOWrapper | None = None
        self._err: io.TextIOWrapper | None = None
        self.install()

    def install(self) -> None:
        """Put the streams in place; before each task of a process child, since the one before may have left others."""
        if self._out is None or sys.stdout is not self._out or sys.stderr is not self._err:
            sys.stdout = self._out = _wrap(self._find, 1)
            sys.stderr = self._err = _wrap(self._find, 2)


def _wrap(find: Callable[[], Log], number: int) -> io.TextIOWrapper:
    stream = _Stream(find, number)
    return io.TextIOWrapper(stream, "utf-8", "backslashreplace", write_through=True)

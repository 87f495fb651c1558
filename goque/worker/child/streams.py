"""What a task prints or logs, led into its log. Not for: the log itself (``capture``)."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable

from goque.worker.channel.capture import Log


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

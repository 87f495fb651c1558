"""When tasks of peers begin: told through a socket, since most keep no result. Not for: tasks of goque."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "GOQUE_BENCH_STARTS"
_SENDER: list[socket.socket] = []


def note_start() -> None:
    """In a task: tell when it began, by the clock that all processes of a machine share."""
    began = time.monotonic()
    if not _SENDER:
        _SENDER.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        _SENDER[0].connect(os.environ[_VARIABLE])
    _SENDER[0].send(struct.pack("d", began))


class Starts:
    """The other end."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver

    def next(self) -> float:
        """When the task began that is told of next; at most ten seconds."""
        return float(struct.unpack("d", self._receiver.recv(8))[0])


@contextmanager
def listening() -> Iterator[Starts]:
    """A socket for what is started within the block; processes inherit its address."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with tempfile.TemporaryDirectory(prefix="goque-bench-") as home, receiver:
        address = os.path.join(home, "starts")
        receiver.bind(address)
        receiver.settimeout(10.0)
        os.environ[_VARIABLE] = address
        try:
            yield Starts(receiver)
        finally:
            del os.environ[_VARIABLE]

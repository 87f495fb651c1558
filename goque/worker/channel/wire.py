"""How main and its nursery talk: JSON messages and file descriptors over a socket. Not for: what they say."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from typing import Any

LENGTH = struct.Struct("=I")
PER_MESSAGE = 200
"""Descriptors per message; the kernel takes 253 at most."""


def send(link: socket.socket, message: dict[str, Any]) -> None:
    """Write one message."""
    body = json.dumps(message).encode()
    link.sendall(LENGTH.pack(len(body)) + body)


def receive(link: socket.socket) -> dict[str, Any] | None:
    """Read one message, None at the end of the stream."""
    head = _exactly(link, LENGTH.size)
    body = None if head is None else _exactly(link, LENGTH.unpack(head)[0])
    return None if body is None else json.loads(body)


def send_descriptors(link: socket.socket, descriptors: list[int]) -> None:
    """Hand over file descriptors, some at a time."""
    for start in range(0, len(descriptors), PER_MESSAGE):
        rights = array.array("i", descriptors[start : start + PER_MESSAGE])
        link.sendmsg([b"F"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def receive_descriptors(link: socket.socket, count: int) -> list[int]:
    """Take over file descriptors; they are not inherited by programs that this process starts."""
    received: list[int] = []
    while len(received) < count:
        rights = array.array("i")
        data, ancillary, _, _ = link.recvmsg(1, socket.CMSG_LEN(PER_MESSAGE * rights.itemsize))
        if not data:
            raise EOFError
        for level, kind, raw in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                rights.frombytes(raw[: len(raw) - len(raw) % rights.itemsize])
        received += rights
    for descriptor in received:
        os.set_inheritable(descriptor, False)
    return received


def _exactly(link: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            return None
        data += more
    return data

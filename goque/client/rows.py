"""Items as rows of PostgreSQL's binary COPY format, and a spool to hold them. Not for: sending them (``maps``).

The rows are built here rather than by the driver because nearly every column of a map is the same in each row: what
is constant is encoded once, and per row only the id, the order and the arguments are (format: "Binary Format" in
PostgreSQL's documentation of COPY).
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from goque.client.items import Call
from goque.model.identity import SPAN
from goque.payload.envelope import item_context

CHUNK = 64 * 1024
"""Bytes per piece handed to COPY."""
LARGE = 1024 * 1024
"""Bytes from which on parts of rows are handed on as they lie, since putting them together would copy them."""

MEMORY = 16 * 1024 * 1024
"""Bytes a spool keeps in memory before it moves to a temporary file."""

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
COLUMNS = ("id", "lane_id", "seq", "status", "max_attempts", "run_at", "expires_at", "metadata", "external_id", "args")

_START = struct.Struct(">hiqiq")
_LENGTH = struct.Struct(">i")
_EIGHT = struct.Struct(">iq")
_NULL = _LENGTH.pack(-1)


class Sign(Protocol):
    """Signs bytes for what they belong to; gives what stands before them in their envelope."""

    def __call__(self, context: bytes, body: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """What all rows of one map have in common.

    ``ready`` is the microsecond since 1970 from which its rows are in order, None when they wait for ``run_at``.
    Times are microseconds since 1970 on the database's clock.
    """

    batch: int
    lane: int
    ready: int | None
    max_attempts: int
    run_at: int | None = None
    expires_at: int | None = None
    metadata: bytes | None = None

    def middle(self) -> bytes:
        """The constant columns between ``seq`` and ``external_id``, encoded."""
        status = b"pending" if self.ready is None else b"new"
        return b"".join(
            (
                _field(status),
                _field(struct.pack(">h", self.max_attempts)),
                _moment(self.run_at if self.ready is None else None),
                _moment(self.expires_at),
                _NULL if self.metadata is None else _field(b"\x01" + self.metadata),
            )
        )


@dataclass(slots=True)
class Encoder:
    """Turns calls into rows. ``total`` counts them; ``digests`` collects their identity where somebody asks for it."""

    shared: Shared
    encode: Callable[[Call], bytes]
    sign: Sign
    first: int = 0
    """The position of the first item."""
    digest: Callable[[Call], bytes] | None = None
    external_id: Callable[[Call], str] | None = None
    total: int = 0
    digests: bytearray = field(default_factory=bytearray)

    def chunks(self, calls: Iterable[Call]) -> Iterator[bytes]:
        """Rows in pieces of about ``CHUNK`` bytes, without header and trailer."""
        shared, encode, sign, digest, name = self.shared, self.encode, self.sign, self.digest, self.external_id
        base, lane, ready = shared.batch * SPAN, shared.lane, shared.ready
        context, start, eight, length = item_context, _START.pack, _EIGHT.pack, _LENGTH.pack
        middle = shared.middle()
        rest = 40 + len(middle)  # of a row, about
        fields = len(COLUMNS)
        parts: list[bytes] = []
        size = 0
        position = self.first
        for call in calls:
            if digest is not None:
                self.digests += digest(call)
            body = encode(call)
            head = sign(context(shared.batch, position), body)
            parts += (
                start(fields, 8, base + position, 8, lane),
                _NULL if ready is None else eight(8, ready + position),
                middle,
                _NULL if name is None else _field(name(call).encode()),
                length(len(head) + len(body)),
                head,
                body,
            )
            position += 1
            size += rest + len(head) + len(body)
            if size >= CHUNK:
                yield from parts if size >= LARGE else (b"".join(parts),)
                parts.clear()
                size = 0
                body = b""  # else it would live while the next one is made
        self.total = position - self.first
        if parts:
            yield b"".join(parts)


class Spool:
    """Holds encoded rows, in memory and then in a temporary file, until the transaction that sends them is open."""

    def __init__(self) -> None:
        self._file: tempfile.SpooledTemporaryFile[bytes] = tempfile.SpooledTemporaryFile(max_size=MEMORY)  # noqa: SIM115

    def write(self, chunks: Iterable[bytes]) -> None:
        """Take these pieces in."""
        for chunk in chunks:
            if len(chunk) > MEMORY:
                self._file.rollover()  # else it would be copied into memory first
            self._file.write(chunk)
            del chunk  # which may be large, before the next one is made

    def read(self) -> Iterator[bytes]:
        """All pieces again, from the start."""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            yield chunk

    def close(self) -> None:
        """Drop what it holds."""
        self._file.close()


def framed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Rows as one complete COPY stream."""
    yield HEADER
    yield from chunks
    yield TRAILER


def _field(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


_EPOCH_2000 = 946_684_800_000_000


def _moment(microseconds: int | None) -> bytes:
    """A timestamptz: microseconds since 2000."""
    return _NULL if microseconds is None else _EIGHT.pack(8, microseconds - _EPOCH_2000)

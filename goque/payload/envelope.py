"""Signing: bytes bound to what they belong to. Not for: what the bytes mean, or which keys a process holds (``keys``).

Layout of a signed envelope: version byte 1, 4 bytes of key id, 16 bytes of HMAC-SHA-256, body. The code is computed
over purpose, key id, length of the context, context and body, so an envelope that is moved to another row, used for
another purpose or changed in any bit is refused. Version byte 0 marks an unsigned body; a process that holds keys
refuses it unless told otherwise, so nobody can strip a signature.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from enum import Enum

from goque.errors import SignatureInvalid
from goque.payload.keys import Key, KeyKind, KeyRing

SIGNED = 1
UNSIGNED = 0
_MAC_BYTES = 16
_BODY = 1 + 4 + _MAC_BYTES
_BLOCK = 64
_WORTH_A_VIEW = 16_384
"""Bytes; to copy fewer costs less than to make a view of them."""
_length = struct.Struct(">I").pack


class Purpose(Enum):
    """What an envelope holds. The comment names the context that callers bind it to."""

    ARGUMENTS = 1  # of one item of a map: batch, position
    KWARGS = 2  # shared by a map: batch
    LANE = 3  # which function serves a batch: batch, function hash
    FUNCTION = 4  # code: function hash
    SINGLE = 5  # arguments of a single task: function hash, task
    RESULT = 6  # task, run
    EXCEPTION = 7  # task, run
    VALUE = 8  # an object stored once: its id
    CHECKPOINT = 9  # what a task keeps across attempts: task
    POLICY = 10  # a callable retry policy: lane or task

    @property
    def kind(self) -> KeyKind:
        """Which of the two derived keys signs it."""
        return KeyKind.RESULTS if self in (Purpose.RESULT, Purpose.EXCEPTION) else KeyKind.CODE


def context_of(*parts: int | str | bytes) -> bytes:
    """A context from several parts, framed so that no two different lists of parts give the same bytes."""
    framed = []
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        framed.append((b"b" if isinstance(part, bytes) else b"t") + _length(len(raw)) + raw)
    return b"".join(framed)


# The contexts that are made for every task, at a tenth of the cost of ``context_of``: two numbers of fixed length.
item_context = struct.Struct(">qq").pack
"""Batch and position: what the arguments of an item belong to."""
run_context = struct.Struct(">qq").pack
"""Task and run: what a result or an exception belongs to."""


class _Mac:
    """HMAC-SHA-256 with both pads hashed once: copying a hash state costs a third of starting an HMAC."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: Key, purpose: Purpose) -> None:
        padded = key.secret.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
        self._inner.update(bytes([SIGNED, purpose.value]) + bytes.fromhex(key.id))

    def code(self, context: bytes, body: bytes | memoryview) -> bytes:
        inner = self._inner.copy()
        if len(body) < _WORTH_A_VIEW:
            inner.update(b"".join((_length(len(context)), context, body)))
        else:
            inner.update(_length(len(context)) + context)
            inner.update(body)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()[:_MAC_BYTES]


class Sealer:
    """Seals many bodies for one purpose under one key; with no key it marks them unsigned. Safe between threads."""

    __slots__ = ("_head", "_mac", "key_id")

    def __init__(self, key: Key | None, purpose: Purpose) -> None:
        if key is not None and key.kind is not purpose.kind:
            raise ValueError(f"{purpose.name} is signed with a {purpose.kind.value} key, not a {key.kind.value} key")
        self.key_id = key.id if key else ""
        self._mac = _Mac(key, purpose) if key else None
        self._head = bytes([SIGNED]) + bytes.fromhex(self.key_id) if key else bytes([UNSIGNED])

    @classmethod
    def of(cls, ring: KeyRing, purpose: Purpose) -> Sealer:
        """With the ring's newest key for this purpose; KeyMissing when the ring may not sign it."""
        return cls(ring.signing(purpose.kind), purpose)

    def seal(self, context: bytes, body: bytes) -> bytes:
        """The envelope of ``body``, bound to ``context``."""
        return self.sign(context, body) + body

    def sign(self, context: bytes, body: bytes) -> bytes:
        """What stands before ``body`` in that envelope."""
        return self._head if self._mac is None else self._head + self._mac.code(context, body)


class Opener:
    """Verifies many envelopes of one purpose. Safe between threads."""

    __slots__ = ("_allow_unsigned", "_macs", "_purpose", "_ring")

    def __init__(self, ring: KeyRing, purpose: Purpose, *, allow_unsigned: bool = False) -> None:
        self._ring = ring
        self._purpose = purpose
        self._allow_unsigned = allow_unsigned or ring.is_empty
        self._macs: dict[bytes, _Mac] = {}

    def open(self, context: bytes, blob: bytes | memoryview) -> bytes | memoryview:
        """The body, a large one without a copy. KeyMissing without the key, SignatureInvalid when it was not signed."""
        view = blob if len(blob) < _WORTH_A_VIEW else memoryview(blob)
        mac = self._macs.get(bytes(view[:5])) or self._mac(view)
        if mac is None:
            return view[1:]
        body = view[_BODY:]
        if not hmac.compare_digest(mac.code(context, body), view[5:_BODY]):
            raise SignatureInvalid(
                f"the {self._purpose.name.lower()} was changed after key {bytes(view[1:5]).hex()} signed it, or moved "
                "here from another row; it was not loaded. Submit the work again, and find out who can write to this "
                "database"
            )
        return body

    def _mac(self, view: bytes | memoryview) -> _Mac | None:
        """By what it was signed, as it claims itself; None if it is not and need not be."""
        version = view[0] if len(view) else -1
        if version == UNSIGNED and self._allow_unsigned:
            return None
        if version != SIGNED or len(view) < _BODY:
            raise SignatureInvalid(self._refusal(version))
        key = self._ring.verifying(self._purpose.kind, bytes(view[1:5]).hex())
        return self._macs.setdefault(bytes(view[:5]), _Mac(key, self._purpose))

    def _refusal(self, version: int) -> str:
        name = self._purpose.name.lower()
        if version == UNSIGNED:
            return f"the {name} is not signed, and this process accepts signed work only: submit it again with a key"
        return f"the {name} is not an envelope of this version of goque, or it is cut short; it was not loaded"


def seal(key: Key | None, purpose: Purpose, context: bytes, body: bytes) -> bytes:
    """One envelope; use a ``Sealer`` for many."""
    return Sealer(key, purpose).seal(context, body)


def open_(
    ring: KeyRing, purpose: Purpose, context: bytes, blob: bytes | memoryview, *, allow_unsigned: bool = False
) -> bytes | memoryview:
    """The body of one envelope; use an ``Opener`` for many."""
    return Opener(ring, purpose, allow_unsigned=allow_unsigned).open(context, blob)


def key_id_of(blob: bytes | memoryview) -> str | None:
    """The id of the key that signed it, as claimed and not verified; None when unsigned or damaged."""
    view = memoryview(blob)
    return bytes(view[1:5]).hex() if len(view) >= _BODY and view[0] == SIGNED else None

"""Secrets, and the keys derived from them. Not for: signing (``envelope``), or deciding where secrets come from.

Each secret yields two keys that know nothing of each other: one signs code and arguments, one signs results. A reader
can be given the second alone (`goque-results-...`): it verifies results and cannot submit code.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NoReturn

from goque.errors import InvalidInput, KeyMissing

RESULTS_PREFIX = "goque-results-"
_MINIMUM_TEXT = 16
_MINIMUM_BYTES = 32
_SALT = b"goque key derivation 1"


class KeyKind(Enum):
    """What a key signs."""

    CODE = "code"
    RESULTS = "results"


@dataclass(frozen=True, slots=True)
class Key:
    """One derived key. ``id`` is 8 hex characters that identify it and reveal nothing of it."""

    kind: KeyKind
    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, kind: KeyKind, secret: bytes) -> Key:
        """The key with these 32 derived bytes."""
        return cls(kind, hashlib.sha256(b"goque key id 1 " + kind.value.encode() + secret).hexdigest()[:8], secret)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled: it must not travel with work")


class KeyRing:
    """The keys this process holds, newest first; the first of a kind signs, all of them verify.

    An empty ring means unsigned work. The repr shows key ids only, and a ring cannot be pickled.
    """

    __slots__ = ("_by_id", "code_keys", "result_keys")

    def __init__(self, keys: Iterable[Key]) -> None:
        held = list(dict.fromkeys(keys))
        self.code_keys = tuple(key for key in held if key.kind is KeyKind.CODE)
        self.result_keys = tuple(key for key in held if key.kind is KeyKind.RESULTS)
        self._by_id = {(key.kind, key.id): key for key in reversed(held)}

    @classmethod
    def empty(cls) -> KeyRing:
        """No keys at all: work is stored and read unsigned."""
        return cls(())

    @classmethod
    def from_secrets(cls, *given: bytes | str) -> KeyRing:
        """Newest first: 32 or more random bytes, any text of 16 or more characters, or an exported results key."""
        return cls(key for secret in given for key in _derive(secret))

    @classmethod
    def from_text(cls, text: str) -> KeyRing:
        """Secrets separated by commas, newest first, as in ``GOQUE_SECRET``."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if not parts:
            raise InvalidInput(
                "the secret is empty: set GOQUE_SECRET to 16 or more characters (goque key new writes one), or unset it"
            )
        return cls.from_secrets(*parts)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, create: bool = False) -> KeyRing:
        """Secrets one a line, newest first; lines that start with # are skipped.

        With ``create`` a missing file is made with a fresh secret, readable by its owner only; processes that race
        for it meet one key. A file that others can read is refused.
        """
        place = Path(path)
        if create and not place.exists():
            _create(place)
        return cls.from_secrets(*secrets_in(place))

    @property
    def is_empty(self) -> bool:
        """Whether this process works unsigned."""
        return not self._by_id

    def ids(self, kind: KeyKind) -> tuple[str, ...]:
        """The ids of the keys held of one kind, newest first."""
        return tuple(key.id for key in self._of(kind))

    def signing(self, kind: KeyKind) -> Key | None:
        """The newest key of this kind; None when the ring is empty; KeyMissing when it holds only the other kind."""
        keys = self._of(kind)
        if keys:
            return keys[0]
        if self.is_empty:
            return None
        raise KeyMissing(
            f"this process holds no key that signs {kind.value}, only keys to read results: "
            "set GOQUE_SECRET to the full secret to submit or run work",
            key_id="",
        )

    def verifying(self, kind: KeyKind, key_id: str) -> Key:
        """The key of this kind with this id; KeyMissing when it is not held."""
        key = self._by_id.get((kind, key_id))
        if key is None:
            raise KeyMissing(
                f"key {key_id} ({kind.value}) is not held here: add the secret it belongs to to GOQUE_SECRET, "
                "separated by a comma",
                key_id=key_id,
            )
        return key

    def export_results(self) -> str:
        """The results keys as text for ``GOQUE_SECRET`` of a reader: it can verify results and sign no code."""
        if not self.result_keys:
            raise InvalidInput("there is no key to export: set GOQUE_SECRET first")
        return ",".join(RESULTS_PREFIX + base64.urlsafe_b64encode(key.secret).decode() for key in self.result_keys)

    def _of(self, kind: KeyKind) -> tuple[Key, ...]:
        return self.code_keys if kind is KeyKind.CODE else self.result_keys

    def __repr__(self) -> str:
        return f"KeyRing(code={list(self.ids(KeyKind.CODE))}, results={list(self.ids(KeyKind.RESULTS))})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key ring is never pickled: it must not travel with work")


def secrets_in(place: Path) -> list[str]:
    """The secrets of a key file, newest first.

    Raises:
        InvalidInput: it cannot be read, holds none, or others can read it.
    """
    try:
        with place.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            lines = [line.strip() for line in file]
    except OSError as error:
        raise InvalidInput(f"the key file {place} cannot be read ({error.strerror}): set GOQUE_SECRET") from error
    if mode & 0o077:
        raise InvalidInput(f"others can read the key file {place} (mode {mode:03o}): run chmod 600 {place}")
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InvalidInput(f"the key file {place} holds no secret: delete it, or write a secret of 16+ characters")
    return found


def fresh_secret() -> str:
    """A new secret of 32 random bytes, as text."""
    return secrets.token_urlsafe(32)


def _derive(secret: bytes | str) -> Iterable[Key]:
    if isinstance(secret, str):
        if secret.startswith(RESULTS_PREFIX):
            return (Key.of(KeyKind.RESULTS, _exported(secret)),)
        if len(secret) < _MINIMUM_TEXT:
            raise InvalidInput(
                f"a secret needs {_MINIMUM_TEXT} or more characters, this one has {len(secret)}: use a longer one"
            )
        secret = secret.encode()
    elif len(secret) < _MINIMUM_BYTES:
        raise InvalidInput(f"a secret needs {_MINIMUM_BYTES} or more random bytes, this one has {len(secret)}")
    # HKDF (RFC 5869) with one output block per label: extract, then expand.
    extracted = hmac.digest(_SALT, secret, "sha256")
    return tuple(Key.of(kind, hmac.digest(extracted, kind.value.encode() + b"\x01", "sha256")) for kind in KeyKind)


def _exported(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(RESULTS_PREFIX), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != hashlib.sha256().digest_size:
        raise InvalidInput("this results key is damaged: copy the whole output of goque key show --results")
    return secret


def _create(place: Path) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(fresh_secret() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: it fails where another process was first, and nobody sees half a file.
        with contextlib.suppress(FileExistsError):
            os.link(draft, place)
    finally:
        draft.unlink()

"""Objects that tasks share, verified, in memory that children map. Not for: when (``porter``), loading (children).

Each is fetched once per worker, into an anonymous file that can no longer be changed. Children open it through this
process, map it, and share one copy of what arrays hold.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Collection
from typing import IO, Any, NamedTuple

from goque.errors import KeyMissing, ResultExpired, SignatureInvalid
from goque.payload import refs
from goque.payload.envelope import Opener, Purpose, context_of
from goque.payload.keys import KeyRing
from goque.queries import objects
from goque.sql import Statement

MOST_BYTES = 4 * 1024**3
"""Kept at most, but for what is in use."""


class Absent(Exception):
    """Some objects are not here yet; ``digests`` are all that were asked for."""

    def __init__(self, digests: Collection[str]) -> None:
        super().__init__("to be fetched")
        self.digests = digests


class _Kept(NamedTuple):
    path: str
    size: int
    file: IO[bytes]


class Shelf:
    """The objects that this worker has fetched, those used last at the end. From any thread; one at a time fetches."""

    def __init__(self, ring: KeyRing, ask: Callable[[Statement[Any]], list[Any]], most: int = MOST_BYTES) -> None:
        self._ask = ask
        self._opener = Opener(ring, Purpose.VALUE)
        self._most = most
        self._kept: dict[str, _Kept] = {}
        self._refused: dict[str, Exception] = {}
        """Why objects could not be had; told once, and then they are asked for anew."""
        self._latest: Collection[str] = ()
        """What was fetched last, and may not have been taken yet."""
        self._lock = threading.Lock()

    def take(self, digests: Collection[str]) -> dict[str, str]:
        """The files of these objects, by digest.

        Raises:
            Absent: some are to be fetched first.
            ResultExpired, SignatureInvalid, KeyMissing: one cannot be had.
        """
        with self._lock:
            for digest in digests:
                if refused := self._refused.pop(digest, None):
                    raise refused
            if not self._kept.keys() >= set(digests):
                raise Absent(digests)
            for digest in digests:
                self._kept[digest] = self._kept.pop(digest)
            return {digest: self._kept[digest].path for digest in digests}

    def fetch(self, digests: Collection[str], end: threading.Event | None = None) -> None:
        """Fetch those that are not here, or find out why they cannot be had. ``end`` ends it early."""
        with self._lock:
            self._latest = digests
            missing = [digest for digest in digests if digest not in self._kept]
        for digest in missing:
            try:
                kept = self._fetched(digest, end or threading.Event())
            except (ResultExpired, SignatureInvalid, KeyMissing) as error:
                with self._lock:
                    self._refused[digest] = error
                return
            if kept is None:
                return
            with self._lock:
                self._kept[digest] = kept

    def drop(self, needed: Collection[str]) -> list[str]:
        """Forget what was used longest ago, while there is too much, but nothing of ``needed``; what was forgotten."""
        with self._lock:
            size, dropped = sum(kept.size for kept in self._kept.values()), []
            for digest in list(self._kept):
                if size <= self._most:
                    break
                if digest not in needed and digest not in self._latest:
                    kept = self._kept.pop(digest)
                    kept.file.close()
                    size -= kept.size
                    dropped.append(digest)
            return dropped

    def _fetched(self, digest: str, end: threading.Event) -> _Kept | None:
        missing: KeyMissing | None = None
        for row in self._ask(objects.find(digest)):
            try:
                self._opener.open(context_of(digest), row.seal)
            except KeyMissing as error:
                missing = error
                continue
            file = _anonymous()
            try:
                for piece in refs.verified(digest, (self._ask(one)[0] for one in objects.parts_of(row))):
                    if end.is_set():
                        file.close()
                        return None
                    file.write(piece)
                _freeze(file)
            except BaseException:
                file.close()
                raise
            return _Kept(_path(file), file.tell(), file)
        raise missing or ResultExpired(f"the object {digest[:12]} is not there any more; q.put stores it again")


def _anonymous() -> IO[bytes]:
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("goque object", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb", buffering=0)
    return tempfile.NamedTemporaryFile(prefix="goque-", buffering=0)


def _freeze(file: IO[bytes]) -> None:
    """No child can change what others read."""
    if sys.platform == "linux":
        import fcntl

        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)


def _path(file: IO[bytes]) -> str:
    return f"/proc/{os.getpid()}/fd/{file.fileno()}" if sys.platform == "linux" else file.name

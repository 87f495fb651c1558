"""Storing objects once, and reading them again. Not for: what tasks get of them (``worker.shelf``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goque.errors import KeyMissing, ResultExpired
from goque.payload import refs
from goque.payload.envelope import Opener, Purpose, Sealer, context_of
from goque.payload.keys import KeyRing
from goque.payload.refs import Ref
from goque.postgres.verbs import Verbs
from goque.queries import objects

PART = 16 * 1024 * 1024
"""Bytes per row, so that no statement takes long."""


class Objects:
    """Puts objects into the database, and gets them out of it."""

    def __init__(self, database: Verbs, ring: KeyRing, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._seal = Sealer.of(ring, Purpose.VALUE)
        self._opener = Opener(ring, Purpose.VALUE)

    def put(self, obj: Any) -> Ref:
        """Store an object unless it is there.

        Raises:
            NotSerializable, PayloadTooLarge: it cannot be stored.
        """
        content = refs.encode(obj)
        digest, key_id, kind = content.digest, self._seal.key_id, f"{type(obj).__module__}.{type(obj).__qualname__}"
        new = objects.put(
            digest=digest,
            key_id=key_id,
            owner=self._owner,
            type=kind[:500],
            size=content.size,
            parts=-(-content.size // PART),
            seal=self._seal.seal(context_of(digest), b""),
        )
        with self._database.transaction() as transaction:
            if transaction.first(new) is None:
                transaction.run(objects.touch([digest]))
            else:
                for number, part in enumerate(content.parts(PART)):
                    transaction.run(objects.put_part(digest, key_id, number, part))
        return Ref(digest, content.size, kind, self.get)

    def get(self, ref: Ref) -> Any:
        """The object.

        Raises:
            ResultExpired, SignatureInvalid, KeyMissing: it is not there any more, or not what was put.
        """
        for row in self._database.all(objects.find(ref.digest)):
            try:
                self._opener.open(context_of(ref.digest), row.seal)
            except KeyMissing:
                continue
            parts = (self._database.one(statement) for statement in objects.parts_of(row))
            return refs.decode(memoryview(b"".join(refs.verified(ref.digest, parts))))
        raise gone([ref.digest])

    def require(self, digests: Sequence[str]) -> None:
        """These are about to be used.

        Raises:
            ResultExpired: one is not there any more.
        """
        there = self._database.all(objects.touch(digests))
        if missing := set(digests).difference(there):
            raise gone(sorted(missing))


def gone(digests: Sequence[str]) -> ResultExpired:
    """What is said of objects that were cleaned away."""
    return ResultExpired(f"the object {digests[0][:12]} is not in this database (any more); q.put stores it again")

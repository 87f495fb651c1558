"""Storing objects once, and reading them again. Not for: what tasks get of them (``worker.shelf``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from goque.errors import InvalidInput, KeyMissing, NotFound, ResultExpired
from goque.payload import refs
from goque.payload.envelope import Opener, Purpose, Sealer, context_of
from goque.payload.keys import KeyRing
from goque.payload.refs import Content, Ref
from goque.payload.sharing import Large
from goque.postgres.verbs import Transaction, Verbs
from goque.queries import objects

PART = 4 * 1024 * 1024
"""Bytes per row, so that no statement takes long, and a worker's claims come between those that fetch."""


class Objects:
    """Puts objects into the database, and gets them out of it."""

    def __init__(self, database: Verbs, ring: KeyRing, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._seal = Sealer.of(ring, Purpose.VALUE)
        self._opener = Opener(ring, Purpose.VALUE)

    def put(self, obj: Any, name: str | None = None, keep_s: float | None = None) -> Ref:
        """Store an object unless it is there; it stays for ``keep_s`` seconds after its last use, None for a week.

        Raises:
            NotSerializable, PayloadTooLarge: it cannot be stored.
        """
        with refs.collected() as inside:
            content = refs.encode(obj)
        if inside:
            raise InvalidInput("an object cannot hold a Ref: put what it stands for, or pass both to the task")
        ref = Ref(content.digest, content.size, refs.kind_of(obj), _fetch=self.get)
        self._store(ref, content, name, keep_s)
        return ref

    def store(self, large: Iterable[Large]) -> None:
        """Store what was found to be large."""
        for ref, content in large:
            self._store(ref, content)

    def named(self, owner: str, name: str) -> Ref:
        """What somebody has put under a name.

        Raises:
            NotFound, SignatureInvalid, KeyMissing: there is nothing, or not what was put.
        """
        row = self._database.first(objects.named(owner, name))
        if row is None:
            raise NotFound(f"nothing is there under the name {name!r}; q.put(obj, name={name!r}) puts it")
        self._opener.open(context_of(owner, name, row.digest), row.seal)
        return Ref(row.digest, row.size, row.type, _fetch=self.get)

    def _store(self, ref: Ref, content: Content, name: str | None = None, keep_s: float | None = None) -> None:
        digest, key_id = ref.digest, self._seal.key_id
        new = objects.put(
            digest=digest,
            key_id=key_id,
            owner=self._owner,
            type=ref.type,
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
            if keep_s is not None:
                transaction.run(objects.keep(digest, key_id, keep_s))
            if name is not None:
                self._call(transaction, name, digest)

    def _call(self, transaction: Transaction, name: str, digest: str) -> None:
        """The name stands for this from now on; what it stood for before is not kept for its sake."""
        before = transaction.first(objects.named(self._owner, name))
        seal = self._seal.seal(context_of(self._owner, name, digest), b"")
        transaction.run(objects.name(self._owner, name, digest, self._seal.key_id, seal))
        if before is not None and before.digest != digest:
            transaction.run(objects.unkeep(before.digest, before.key_id))

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

"""Whether the batch of a name holds the work that is asked for. Not for: what is done if it does not (``maps``)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from goque.client.items import Call
from goque.errors import BatchMismatch
from goque.model.wording import number_of
from goque.payload.digests import DIGEST_BYTES, digest
from goque.queries.reading import BatchRow

LISTED = 1_000
"""Positions listed in a ``BatchMismatch``."""


def call_digest(call: Call) -> bytes:
    """What tells one item from another."""
    args, kwargs = call
    return digest((args, kwargs) if kwargs else args)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between a batch and the work that is asked for under its name."""

    added: list[int]
    """Positions of the items that the batch does not have."""
    removed: list[int]
    """Positions in the batch of items that are not asked for."""
    same_function: bool
    """Function and shared arguments are the same."""

    @classmethod
    def between(cls, there: bytes, given: bytes, same_function: bool) -> Changes:
        """Of the digests of the batch's items and of the given ones, in order."""
        held, asked = _apart(there), _apart(given)
        return cls(_beyond(asked, held), _beyond(held, asked), same_function)

    def refusal(self, existing: BatchRow) -> BatchMismatch:
        """The error that says what differs and what can be done."""
        batch = f"q.batch({existing.name!r})"
        return BatchMismatch(
            f"the batch {existing.name!r} ({number_of(existing.total, 'item')}, {existing.created_at:%Y-%m-%d %H:%M} "
            f"UTC) holds other work: {', '.join(self._in_words())}. {self._ways_on(batch)}, on_change='replace' "
            f"cancels it and starts over, and {batch} is what is there",
            added=self.added[:LISTED],
            removed=self.removed[:LISTED],
            function_changed=not self.same_function,
        )

    def _in_words(self) -> list[str]:
        what = []
        if not self.same_function:
            what.append("the function or its shared arguments changed")
        if self.added:
            what.append(f"{number_of(len(self.added), 'item')} {_are(self.added)} new")
        if self.removed:
            what.append(f"{len(self.removed):,} of its items {_are(self.removed)} missing")
        return what or ["the items come in another order"]

    def _ways_on(self, batch: str) -> str:
        if self.same_function:
            return "on_change='extend' runs the new items with this function as well"
        then = ", after which on_change='extend' adds the new items" if self.added else ""
        return f"{batch}.retry(func) runs what failed again with the changed function{then}"


def _apart(digests: bytes) -> list[bytes]:
    return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]


def _beyond(items: list[bytes], others: list[bytes]) -> list[int]:
    """Positions of those items that the others do not have, or have fewer times."""
    left = Counter(others)
    beyond = []
    for position, item in enumerate(items):
        if left[item] > 0:
            left[item] -= 1
        else:
            beyond.append(position)
    return beyond


def _are(items: list[int]) -> str:
    return "is" if len(items) == 1 else "are"

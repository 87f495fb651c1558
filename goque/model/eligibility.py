"""What a worker may take, as data, and what it lacks. Not for: choosing among it (``worker.roster``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

EVERY_QUEUE = "*"
"""The row of ``queue`` that pauses all queues, later ones included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """Which lanes a worker can serve; None means no restriction."""

    python: str
    queues: Sequence[str] | None = None
    key_ids: Sequence[str] = ()
    tags: Sequence[str] = ()
    lanes: Sequence[int] | None = None
    callables: bool = True
    types: Sequence[str] = ()

    def values(self) -> dict[str, object]:
        """These as the values of a statement."""
        return {
            "python": self.python,
            "queues": None if self.queues is None else list(self.queues),
            "key_ids": list(self.key_ids),
            "tags": list(self.tags),
            "lanes": None if self.lanes is None else list(self.lanes),
            "callables": self.callables,
            "types": list(self.types),
            "every": EVERY_QUEUE,
        }


class Needs(Protocol):
    """What a lane asks of a worker; ``type`` is a named type, None for functions that were sent."""

    @property
    def queue(self) -> str: ...
    @property
    def python(self) -> str | None: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def key_ids(self) -> Sequence[str]: ...
    @property
    def type(self) -> str | None: ...


class Offer(Protocol):
    """What a worker has; ``queues`` is None for every queue."""

    @property
    def queues(self) -> Sequence[str] | None: ...
    @property
    def python(self) -> str: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def key_ids(self) -> Sequence[str]: ...
    @property
    def types(self) -> Sequence[str]: ...


KEYLESS = "a worker without keys"
"""What unsigned functions wait for: who holds keys would have to refuse them."""


def missing(offer: Offer, needs: Needs) -> list[str]:
    """What a worker lacks for a lane, in words: "Python 3.13", "tag gpu", "key 7f3a", "queue web". Empty: it fits.

    The claim asks the same of the database (``queries.claim``).
    """
    lacks = [] if needs.type is None or needs.type in offer.types else [f"type {needs.type}"]
    lacks += [] if needs.python in (None, minor(offer.python)) else [f"Python {needs.python}"]
    lacks += [f"tag {tag}" for tag in needs.tags if tag not in offer.tags]
    lacks += [f"key {key}" for key in needs.key_ids if key not in offer.key_ids]
    if needs.type is None and offer.key_ids and not needs.key_ids:
        lacks.append(KEYLESS)
    if offer.queues is not None and needs.queue not in offer.queues:
        lacks.append(f"queue {needs.queue}")
    return lacks


def minor(version: str) -> str:
    """The minor version: "3.13" of "3.13.1"."""
    return ".".join(version.split(".")[:2])

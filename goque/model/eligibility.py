"""What a worker may take, as data. Not for: choosing among it (``worker.roster``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

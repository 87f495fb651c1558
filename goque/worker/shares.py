"""Whose turn it is, by the seconds that each has used of slots. Not for: how much to claim of it (``worker.roster``).

Start-time fair queueing (Goyal, Vin, Cheng 1996): next is who has used least, and who comes, or comes back, starts
where those stand that are there. So nobody waits behind what others take long for, and nobody saves up.
"""

from __future__ import annotations

from collections.abc import Iterable


class Shares:
    """Seconds used by lanes, and by queues. One thread asks; ``charge`` may come from another."""

    def __init__(self, most: int) -> None:
        """``most`` is how many are remembered."""
        self._most = most
        self._used: dict[int | str, float] = {}
        self._clocks: dict[str, float] = {}
        """By group of those that compete: what the least of them had used when last asked."""

    def admit(self, group: str, members: Iterable[int | str]) -> None:
        """These compete now."""
        used = self._used
        members = list(members)
        clock = max(self._clocks.pop(group, 0.0), min((used[one] for one in members if one in used), default=0.0))
        self._clocks[group] = clock
        for one in members:
            if used.get(one, -1.0) < clock:
                used[one] = clock
        while len(used) > self._most:
            del used[next(iter(used))]
        if len(self._clocks) > self._most:
            del self._clocks[next(iter(self._clocks))]

    def charge(self, one: int | str, seconds: float) -> None:
        """It has used so much more."""
        if (used := self._used.get(one)) is not None:
            self._used[one] = used + seconds

    def used(self, one: int | str) -> float:
        """Seconds, from where it started."""
        return self._used.get(one, 0.0)

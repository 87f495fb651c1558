"""Finding tasks that have ended since the last look, without looking at all of them. Not for: waiting (``waiting``).

Tasks end roughly in the order of their ids, so a look reads the first outstanding ids only. When it finds nothing,
the next one looks further, until it has looked at all and begins again.
"""

from __future__ import annotations

from collections.abc import Sequence

from goque.client.spans import Span, head, size_of, without
from goque.model.states import FINAL
from goque.postgres.verbs import Verbs
from goque.queries import outcomes
from goque.queries.outcomes import OutcomeRow

NARROW = 1_024
"""Outstanding ids looked at first: about as many as a look gives, since it sorts all of them that have ended."""
ROWS = 1_000
"""Outcomes per look."""
MOST_SPANS = 2_000


class Collector:
    """Collects the outcomes of a set of tasks, each once."""

    def __init__(self, database: Verbs, spans: Sequence[Span]) -> None:
        self._database = database
        self._left = list(spans)
        self._window = NARROW
        self.outstanding = size_of(spans)

    @property
    def left(self) -> list[Span]:
        """The ids that have not been seen to end."""
        return self._left

    def look(self) -> list[OutcomeRow]:
        """Outcomes not given before, in order of id, some of them if there are many."""
        if not self._left:
            return []
        window = head(self._left, self._window)[:MOST_SPANS]
        rows = self._ended(window)
        rows.sort()
        if rows:
            self._left = without(self._left, [row.id for row in rows])
            self.outstanding -= len(rows)
            self._window = NARROW
        else:
            self._window = self._window * 8 if self._window < self.outstanding else NARROW
        return rows

    def _ended(self, window: Sequence[Span]) -> list[OutcomeRow]:
        found = self._database.all(outcomes.ended_within(window, ROWS))
        rows = [outcomes.done(row) for row in found if row.run is not None]
        others = [row.id for row in found if row.run is None]
        if others:
            # What was retried in between has not ended any more.
            rows += [row for row in self._database.all(outcomes.outcomes_of(others)) if row.status in FINAL]
        return rows

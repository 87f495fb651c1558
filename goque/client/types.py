"""Named task types as a submitter sees them: a name, and the options their workers declared. Not for: their code."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from goque.model.options import Options, word
from goque.postgres.verbs import Verbs
from goque.queries import types

MOST_KEPT = 10_000
FRESH_S = 5.0
"""Seconds for which what was read of a type is taken to be true still."""


class Types:
    """What the database knows of task types."""

    def __init__(self, database: Verbs) -> None:
        self._database = database
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}

    def options(self, type: str, given: Mapping[str, Any]) -> Options:
        """What was given, laid over what the type's workers declared, laid over the defaults.

        Raises:
            UnknownOption, InvalidInput: of what was given.
        """
        known = self._known.get(word("a task type", type))
        if len(self._known) > MOST_KEPT:
            self._known.clear()
        if known is None or time.monotonic() - known[0] > FRESH_S:
            found = self._database.first(types.declared(type))
            known = self._known[type] = (time.monotonic(), {} if found is None else found.options())
        return Options().updated({**known[1], **given})

    def forget(self) -> None:
        """Ask again: types were declared."""
        self._known.clear()

"""Kinds of status as SQL compares with them. Not for: what they mean (``goque.model.states``)."""

from __future__ import annotations

from goque.model import states
from goque.sql import lit

UNFINISHED = [lit(status) for status in sorted(states.UNFINISHED)]
FINAL = [lit(status) for status in sorted(states.FINAL)]
FAILED = [lit(status) for status in sorted(states.FAILED)]

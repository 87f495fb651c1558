"""When tasks of a named type are made by themselves, as data. Not for: finding out when that is, or making them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Schedule:
    """A declared schedule. Either ``cron`` or ``every_s`` (seconds) is set; ``payload`` is any JSON value."""

    name: str
    type: str
    cron: str | None = None
    every_s: float | None = None
    tz: str = "UTC"
    catch_up: str = "skip"
    run_on_start: bool = False
    payload: Any = None

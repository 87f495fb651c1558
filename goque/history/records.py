"""Rows of a frame as plain mappings. Not for: making frames (``frames``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


def records(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings, None where a value is missing."""
    found = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in found]

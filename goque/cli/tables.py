"""Rows as a table that people read, or as JSON, CSV and Parquet for machines. Not for: where rows come from."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from goque.errors import InvalidInput
from goque.history.records import records
from goque.model.durations import in_words

if TYPE_CHECKING:
    from pandas import DataFrame

WIDTH = 100
"""Columns of a table where the terminal does not say how many it has."""
_LEAST = 12
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column for people. ``cell`` makes its text; a ``flexible`` one is cut where the table is too wide.

    One that is empty in every row is left out, unless it is ``wanted``.
    """

    title: str
    cell: Callable[[Row], str]
    right: bool = False
    flexible: bool = False
    wanted: bool = False


def add_forms(parser: argparse.ArgumentParser) -> None:
    """The options that choose a form for machines."""
    group = parser.add_argument_group("output").add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="one JSON array, times in ISO 8601")
    group.add_argument("--csv", action="store_true", help="CSV with a header")
    group.add_argument("--parquet", metavar="FILE", help="a Parquet file (needs pyarrow)")


def for_machines(arguments: argparse.Namespace) -> bool:
    """Whether a form for machines was chosen."""
    return bool(arguments.json or arguments.csv or arguments.parquet)


def write_frame(frame: DataFrame, arguments: argparse.Namespace) -> None:
    """The frame in the chosen form for machines."""
    if arguments.json:
        sys.stdout.write(json.dumps(records(frame), default=_plain, ensure_ascii=False) + "\n")
    elif arguments.csv:
        _flat(frame).to_csv(sys.stdout, index=False)
    else:
        try:
            _flat(frame).to_parquet(arguments.parquet, index=False)
        except ImportError:
            raise InvalidInput("--parquet needs pyarrow: pip install pyarrow, or use --csv") from None
        except OSError as error:
            raise InvalidInput(f"{arguments.parquet} cannot be written: {error.strerror or error}") from None


def table(columns: Sequence[Column], rows: Sequence[Row], *, width: int | None = None) -> str:
    """Aligned text: a line of titles, a line per row. Only a terminal has a width, unless one is given."""
    cells = [[_one_line(column.cell(row)) for row in rows] for column in columns]
    kept = [
        (column, texts) for column, texts in zip(columns, cells, strict=True) if any(texts) or column.wanted or not rows
    ]
    widths = [max([len(column.title), *map(len, texts)]) for column, texts in kept]
    room = width or terminal_width()
    over = 0 if room is None else sum(widths) + 2 * (len(widths) - 1) - room
    for place, (column, _) in enumerate(kept):
        if over > 0 and column.flexible:
            shorter = max(_LEAST, widths[place] - over)
            over -= widths[place] - shorter
            widths[place] = shorter
    lines = [_line([column.title for column, _ in kept], kept, widths)]
    lines += [_line([texts[number] for _, texts in kept], kept, widths) for number in range(len(rows))]
    return "\n".join(lines)


def terminal_width() -> int | None:
    """The columns there are to write in; None where output goes to a file or another program."""
    return max(60, shutil.get_terminal_size((WIDTH, 24)).columns) if sys.stdout.isatty() else None


def count(value: Any) -> str:
    """A number with thousands marked; nothing for none."""
    return "" if value is None else f"{int(value):,}"


def tally(value: Any) -> str:
    """A number with thousands marked, a dot for zero, so that a table of counts is read at a glance."""
    return count(value) if value else "."


def length(value: Any) -> str:
    """A number of seconds in words."""
    return "" if value is None else in_words(float(value))


def since(moment: datetime | None, now: datetime) -> str:
    """How long ago a moment was, or how soon it comes."""
    if moment is None:
        return ""
    distance = (now - moment).total_seconds()
    words = in_words(float(round(abs(distance))))
    if abs(distance) < 1:
        return "now"
    largest = " ".join(words.split()[:2])
    return f"{largest} ago" if distance > 0 else f"in {largest}"


def _line(texts: Sequence[str], kept: Sequence[tuple[Column, Sequence[str]]], widths: Sequence[int]) -> str:
    parts = []
    for text, (column, _), size in zip(texts, kept, widths, strict=True):
        cut = text if len(text) <= size else text[: size - 1] + "…"
        parts.append(cut.rjust(size) if column.right else cut.ljust(size))
    return "  ".join(parts).rstrip()


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _flat(frame: DataFrame) -> DataFrame:
    """With lists and mappings as JSON text, since neither CSV nor Parquet has a form for any of them."""
    flat = frame.copy()
    for name in flat.columns:
        if flat[name].dtype == object:
            flat[name] = flat[name].map(_text_of, na_action="ignore")
    return flat


def _text_of(value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """What JSON does not know: times, and numbers and texts of numpy."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
